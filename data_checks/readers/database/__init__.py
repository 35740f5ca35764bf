"""Databases: one query, which cannot write, with a login that is meant for its host."""
