"""Another threshold for a detector that is there: its budget, its figures, its version."""
