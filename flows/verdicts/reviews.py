"""Reviews for whoever looks for one: which there are, and one of them whole."""

from dataclasses import dataclass

import sqlalchemy as sa

from flows.verdicts.database import reading
from flows.verdicts.store import Review, ReviewRow
from flows.verdicts.tables import REVIEW_ROWS, REVIEWS, VERDICTS

LATEST = 200


@dataclass(frozen=True)
class ListedReview:
    """A review, how many different rows it asks about, and how many of them were judged for it."""

    review: Review
    rows: int
    judged: int


def list_reviews(url: str) -> tuple[ListedReview, ...]:
    """The latest reviews of all models, newest first."""
    with reading(url) as connection:
        if connection is None:
            return ()
        asked, judged = (
            sa.select(of, sa.func.count(key.distinct()).label("rows")).group_by(of).subquery()
            for of, key in (
                (REVIEW_ROWS.c.review, REVIEW_ROWS.c.row_key),
                (VERDICTS.c.review, VERDICTS.c.row_key),
            )
        )
        query = (
            sa.select(REVIEWS, asked.c.rows, sa.func.coalesce(judged.c.rows, 0))
            .join(asked, asked.c.review == REVIEWS.c.id)
            .outerjoin(judged, judged.c.review == REVIEWS.c.id)
            .order_by(REVIEWS.c.time.desc())
            .limit(LATEST)
        )
        reviews = [tuple(row) for row in connection.execute(query)]
    return tuple(ListedReview(Review(*row[:-2]), *row[-2:]) for row in reviews)


def read_review(url: str, review: str) -> tuple[Review, tuple[ReviewRow, ...]] | None:
    """A review and its rows, alerts first and of these the strangest; None where there is none."""
    with reading(url) as connection:
        if connection is None:
            return None
        kept = connection.execute(sa.select(REVIEWS).where(REVIEWS.c.id == review)).first()
        if kept is None:
            return None
        order = REVIEW_ROWS.c.flagged.desc(), REVIEW_ROWS.c.energy.desc(), REVIEW_ROWS.c.row_id
        query = sa.select(REVIEW_ROWS).where(REVIEW_ROWS.c.review == review).order_by(*order)
        rows = tuple(ReviewRow(*row) for row in connection.execute(query))
    return Review(*kept), rows
