"""Tables from wherever a contract says they are, pinned and downloaded."""
