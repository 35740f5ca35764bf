"""Rows, parts and output of a scoring, here or on Spark."""
