"""Metrics with intervals, comparison of detectors, thresholds, published figures."""
