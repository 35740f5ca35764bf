"""Alembic's folder for the tables of verdicts; MLflow's own tables in the database are MLflow's."""
