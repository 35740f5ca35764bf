"""Rows, parts and output of a scoring; its flow is `flows.scoring`."""
