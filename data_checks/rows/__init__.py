"""Rows cast and judged by a contract, one rule for every reader."""
