"""A first contract from a look at a table, with every doubt as a remark."""
