"""The Prefect flows, their tasks and their deployments."""
