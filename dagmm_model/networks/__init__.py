"""The compression and estimation networks, the objective, and the presets (paper, section 3)."""
