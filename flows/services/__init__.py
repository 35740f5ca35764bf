"""Servers as our own processes: those of a home, their door, and the one that serves a model."""
