"""Gates, evidence and the switch of what is in production."""
