"""The store in a home: made at once, read without MLflow, taken along when the home moves."""
