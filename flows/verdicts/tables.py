"""The tables of verdicts as the code reads and fills them; `migrations` makes them."""

import sqlalchemy as sa

VERSION_TABLE = "dagmm_alembic_version"
HEAD = "0002"
"""Newest revision of the tables."""

METADATA = sa.MetaData()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SUBMISSIONS = sa.Table(
    "dagmm_verdict_submissions",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("read", sa.Integer, nullable=False),
    sa.Column("added", sa.Integer, nullable=False),
)
VERDICTS = sa.Table(
    "dagmm_verdicts",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("submission", NUMBER, sa.ForeignKey(SUBMISSIONS.c.id), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("row_key", sa.String(64), nullable=False),
    sa.Column("row", sa.Text, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("energy", sa.Double, nullable=False),
    sa.Column("flagged", sa.Boolean, nullable=False),
    sa.Column("review", sa.String(16), nullable=False),
    sa.Column("identity", sa.String(64), nullable=False, unique=True),
    sa.Index("dagmm_verdicts_of_model", "model", "id"),
)
REVIEWS = sa.Table(
    "dagmm_reviews",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("threshold", sa.Double, nullable=False),
    sa.Column("alerts", sa.Integer, nullable=False),
    sa.Column("below", sa.Integer, nullable=False),
    sa.Index("dagmm_reviews_of_model", "model", "version"),
)
REVIEW_ROWS = sa.Table(
    "dagmm_review_rows",
    METADATA,
    sa.Column("review", sa.String(16), sa.ForeignKey(REVIEWS.c.id), primary_key=True),
    sa.Column("row_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("row_key", sa.String(64), nullable=False),
    sa.Column("row", sa.Text, nullable=False),
    sa.Column("energy", sa.Double, nullable=False),
    sa.Column("flagged", sa.Boolean, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False, server_default=""),
)
