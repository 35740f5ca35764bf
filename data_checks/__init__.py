"""What a data set must look like, where it comes from, and whether it is as promised."""
