"""The servers of a team: their settings, start, watch, backup and upgrade."""
