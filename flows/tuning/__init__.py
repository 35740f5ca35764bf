"""Search of a detector's settings: the space, the ranking that judges a trial, the study."""
