"""What people said of scored rows: kept beside the registry, and what follows from it."""
