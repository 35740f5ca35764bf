"""Compiled loops (Numba) of training steps, mixtures and scoring."""
