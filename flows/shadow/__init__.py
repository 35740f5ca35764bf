"""A candidate that scores the same live rows as the version that answers, without answering."""
