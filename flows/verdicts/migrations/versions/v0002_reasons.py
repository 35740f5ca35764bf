"""What the model said of a row that it asks people about: they judge it without the file."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Reviews of before have no reasons here; they are in their files."""
    reasons = sa.Column("reasons", sa.Text, nullable=False, server_default="")
    op.add_column("dagmm_review_rows", reasons)
