"""Servers as processes of ours: those of a home, their door, and the one that serves a model."""
