"""A server of verdicts that follows an alias of the registry."""
