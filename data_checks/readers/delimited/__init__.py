"""Delimited text: where its rows begin, how it is written, and the reading itself."""
