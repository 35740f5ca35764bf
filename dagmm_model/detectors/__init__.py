"""Detectors: their interface and catalogue, DAGMM and its ablations, bundles and files."""
