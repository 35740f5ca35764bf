"""Verdicts as people send them in."""
