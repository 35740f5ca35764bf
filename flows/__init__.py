"""The wiring: Prefect flows over the model and the data checks, with MLflow as memory."""
