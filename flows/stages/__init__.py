"""A training as its stages: the table of them, what each leaves, and the folder that keeps it."""
