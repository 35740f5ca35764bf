"""Verdicts, what was sent in, and what scoring marked for review; rows are never changed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = (
    "dagmm_verdict_submissions",
    "dagmm_verdicts",
    "dagmm_reviews",
    "dagmm_review_rows",
)


def upgrade() -> None:
    """Make the tables, and have the database refuse to change or delete what they hold."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up no other
    op.create_table(
        "dagmm_verdict_submissions",
        sa.Column("id", number, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("read", sa.Integer, nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
    )
    op.create_table(
        "dagmm_verdicts",
        sa.Column("id", number, primary_key=True),
        sa.Column(
            "submission", number, sa.ForeignKey("dagmm_verdict_submissions.id"), nullable=False
        ),
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
    )
    op.create_index("dagmm_verdicts_of_model", "dagmm_verdicts", ["model", "id"])
    op.create_table(
        "dagmm_reviews",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("alerts", sa.Integer, nullable=False),
        sa.Column("below", sa.Integer, nullable=False),
    )
    op.create_index("dagmm_reviews_of_model", "dagmm_reviews", ["model", "version"])
    op.create_table(
        "dagmm_review_rows",
        sa.Column("review", sa.String(16), sa.ForeignKey("dagmm_reviews.id"), primary_key=True),
        sa.Column("row_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("row_key", sa.String(64), nullable=False),
        sa.Column("row", sa.Text, nullable=False),
        sa.Column("energy", sa.Double, nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False),
    )
    _refuse_changes()


def _refuse_changes() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute(
            "CREATE FUNCTION dagmm_append_only() RETURNS trigger AS $$ BEGIN "
            "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql"
        )
    for table in APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            name = f"{table}_no_{event.lower()}"
            if postgres:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} "
                    "FOR EACH ROW EXECUTE FUNCTION dagmm_append_only()"
                )
            else:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
