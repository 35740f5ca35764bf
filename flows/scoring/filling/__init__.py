"""The rows of a scoring run, part by part: what is kept of them, and who judges them."""
