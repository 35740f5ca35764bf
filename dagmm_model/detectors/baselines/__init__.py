"""The baselines, one module a family, all with ``fit`` and ``energy``."""
