"""Validation with Great Expectations: suites, checkpoints, quarantine, Data Docs."""
