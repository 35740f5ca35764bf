"""What a candidate must show before promotion: one table of gates, and what they judge."""
