"""CSV and its kin: where the rows begin, how the text is written, and the reading itself."""
