"""Where a result of scoring goes: a file, a folder, a table of a database."""
