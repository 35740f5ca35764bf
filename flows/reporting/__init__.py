"""Summaries and plots that people read."""
