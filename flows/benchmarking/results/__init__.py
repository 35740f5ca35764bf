"""What cells add up to: summaries, league, tables, plots, page."""
