"""What the server says of itself: metrics, lines of its log, refused versions in the audit."""
