"""Training: the loop, what feeds it, its phases and its records."""
