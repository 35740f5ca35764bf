"""Engines: one training step of the objective, computed by NumPy or by torch."""
