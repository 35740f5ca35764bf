"""What is kept of a version, and what was found out about it."""
