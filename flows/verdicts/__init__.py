"""What people said about scored rows: stored next to the registry, and what follows from it."""
