"""Validation on Apache Spark, and what scoring there needs, too: a session, a plan, its tasks."""
