"""What every room of the data checks stands on: errors, atomic writing, addresses, pages."""
