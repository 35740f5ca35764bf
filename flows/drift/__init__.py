"""A window of rows against the training rows; its flow is `flows.orchestration.monitor_flow`."""
