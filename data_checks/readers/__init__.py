"""Readers: one module per kind of source, each yielding Arrow batches of raw columns."""
