"""A DAGMM fitted on rows that do not fit into memory."""
