"""Baselines that are networks, one module a paper; the GAN family has a room of its own."""
