"""The servers of a team: start, stop, back up, upgrade."""
