"""The other detectors, one module a family, all with ``fit`` and ``energy``."""
