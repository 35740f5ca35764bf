"""Rows of mixed types to scaled matrices, and splits of them."""
