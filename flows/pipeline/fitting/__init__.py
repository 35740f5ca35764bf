"""The fit of a detector: its rows, the ranks that share it, its epochs on their way to MLflow."""
