"""Verdicts and reviews in and out of the database; nothing in it is ever changed or removed."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from flows.common.signals import reached
from flows.verdicts.database import reading, writing
from flows.verdicts.standing import RowVerdict
from flows.verdicts.tables import REVIEW_ROWS, REVIEWS, SUBMISSIONS, VERDICTS

TAG = "dagmm.verdicts"
"""Of a registered model: that there are verdicts, for whoever trains it."""


@dataclass(frozen=True)
class Submission:
    """Verdicts that came together.

    Attributes:
        source: File that they came in.
        sha256: Of that file.
        by: Who sent it in.
    """

    model: str
    source: str
    sha256: str
    by: str


@dataclass(frozen=True)
class Review:
    """A batch of which some rows were drawn for people to look at.

    Attributes:
        id: Follows from the batch, so that scoring it again gives the same review.
        version: Version that scored it.
        source: Where the rows came from.
        time: When, seconds since 1970, UTC.
        threshold: Energy above which a row was an alert.
        alerts: Alerts of the batch.
        below: Its other rows.
    """

    id: str
    model: str
    version: int
    source: str
    time: float
    threshold: float
    alerts: int
    below: int


@dataclass(frozen=True)
class ReviewRow:
    """A row of a review, with the reasons that the result gives for it."""

    review: str
    row_id: int
    row_key: str
    row: str
    energy: float
    flagged: bool
    reasons: str = ""


def add_verdicts(url: str, submission: Submission, given: Sequence[RowVerdict]) -> int:
    """Append what is new of some verdicts, all of it or nothing.

    New is what a person has not said already: who repeats the newest verdict of their own on a row
    adds nothing, and neither does a verdict with the time, the word and the note of one that is
    there.

    Returns:
        How many were new.
    """
    now = time.time()
    with writing(url) as connection:
        known = _verdicts(connection, submission.model)
        new = _new(known, given, now)
        number = connection.execute(
            SUBMISSIONS.insert().values(
                **asdict(submission), time=now, read=len(given), added=len(new)
            )
        ).inserted_primary_key[0]
        reached("submission written")
        rows = [_as_row(each, submission.model, number) for each in new]
        if rows:
            connection.execute(VERDICTS.insert(), rows)
        reached("verdicts written")
    return len(new)


def _new(known: Iterable[RowVerdict], given: Iterable[RowVerdict], now: float) -> list[RowVerdict]:
    newest: dict[tuple[str, str], RowVerdict] = {}
    seen = set()
    for each in known:
        place = each.row_key, each.who
        if place not in newest or each.time >= newest[place].time:
            newest[place] = each
        seen.add((place, each.verdict, each.time, each.note))
    new = []
    for each in given:
        place = each.row_key, each.who
        last = newest.get(place)
        if not each.time:
            if last and last.verdict == each.verdict and each.note in ("", last.note):
                continue
            each = replace(each, time=now)
        exact = (place, each.verdict, each.time, each.note)
        if exact in seen:
            continue
        seen.add(exact)
        if last is None or each.time >= last.time:
            newest[place] = each
        new.append(each)
    return new


def _as_row(each: RowVerdict, model: str, submission: int) -> dict[str, object]:
    content = [model, each.row_key, each.who, each.verdict, each.time, each.note]
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    values = {key: value for key, value in asdict(each).items() if key != "id"}
    return {**values, "model": model, "submission": submission, "identity": identity}


def read_verdicts(url: str | None, model: str) -> tuple[RowVerdict, ...]:
    """Every verdict on rows of a model, in the order in which they were added."""
    if url is None:
        return ()
    with reading(url) as connection:
        return () if connection is None else tuple(_verdicts(connection, model))


def _verdicts(connection: sa.Connection, model: str) -> list[RowVerdict]:
    columns = [VERDICTS.c[name] for name in RowVerdict.__dataclass_fields__]
    query = sa.select(*columns).where(VERDICTS.c.model == model).order_by(VERDICTS.c.id)
    return [RowVerdict(**row._mapping) for row in connection.execute(query)]


def add_review(url: str, review: Review, rows: Sequence[ReviewRow]) -> None:
    """Keep a review; one that is there already stays."""
    with writing(url) as connection:
        if connection.execute(sa.select(REVIEWS.c.id).where(REVIEWS.c.id == review.id)).first():
            return
        connection.execute(REVIEWS.insert().values(**asdict(review)))
        if rows:
            connection.execute(REVIEW_ROWS.insert(), [asdict(row) for row in rows])


def read_reviews(
    url: str | None, model: str, version: int | None = None
) -> tuple[tuple[Review, ...], tuple[ReviewRow, ...]]:
    """Reviews of a model, or of one version of it, with their rows."""
    if url is None:
        return (), ()
    with reading(url) as connection:
        if connection is None:
            return (), ()
        mine = REVIEWS.c.model == model
        if version is not None:
            mine &= REVIEWS.c.version == version
        query = sa.select(REVIEWS).where(mine).order_by(REVIEWS.c.time)
        reviews = tuple(Review(**row._mapping) for row in connection.execute(query))
        joined = sa.select(REVIEW_ROWS).join(REVIEWS).where(mine)
        rows = tuple(ReviewRow(**row._mapping) for row in connection.execute(joined))
    return reviews, rows
