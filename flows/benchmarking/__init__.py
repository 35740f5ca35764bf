"""Cells, tables, plots and page of a benchmark; its flow is `orchestration.benchmark_flow`."""
