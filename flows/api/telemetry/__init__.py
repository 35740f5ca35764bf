"""What the server reports: metrics, lines of its log, refused versions in the audit."""
