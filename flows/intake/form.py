"""The pages on which people judge the rows of a review: plain forms, which need no script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flows.common.moments import minute
from flows.intake.screen import seen_figures
from flows.reporting import html
from flows.reporting.html import Raw, text
from flows.verdicts.estimates import Live
from flows.verdicts.reviews import ListedReview
from flows.verdicts.standing import WORDS, RowVerdict
from flows.verdicts.store import Review, ReviewRow

LONGEST_NAME, LONGEST_NOTE = 100, 1_000


@dataclass(frozen=True)
class FormRow:
    """What stands in the form for a row.

    Attributes:
        word: Verdict that is chosen, or empty.
        note: Text beside it.
        had: Id of the verdict that it was filled with, 0 for none.
    """

    word: str = ""
    note: str = ""
    had: int = 0


@dataclass(frozen=True)
class AskedReview:
    """A review as one person sees it.

    Attributes:
        rows: To be judged.
        entries: By number of the row.
        others: What others say of each row, by its key: the newest verdict of each.
    """

    review: Review
    rows: Sequence[ReviewRow]
    who: str
    entries: Mapping[int, FormRow]
    others: Mapping[str, Sequence[RowVerdict]]
    live: Live


def index(reviews: Sequence[ListedReview]) -> str:
    """The page that lists the reviews."""
    return html.document("Rows to judge", _index(reviews), forms=True)


def _index(reviews: Sequence[ListedReview]) -> Iterator[str]:
    yield "<h1>Rows to judge</h1>"
    if not reviews:
        yield html.quiet(
            "There are none yet: `dagmm score ROWS.csv SCORED.csv --model NAME --review 20` has "
            "alerts, and a few rows from below the threshold, judged here."
        )
        return
    headers = ("model", "rows of", "scored", "to judge", "judged")
    yield html.table(
        headers,
        [
            (
                Raw(f'<a href="/review/{text(each.review.id)}">{text(_version(each.review))}</a>'),
                each.review.source,
                minute(each.review.time),
                f"{each.rows:,}",
                f"{each.judged:,}",
            )
            for each in reviews
        ],
        numbers=(3, 4),
    )


def review_form(asked: AskedReview, *, added: int | None = None, trouble: str = "") -> str:
    """The page of a review.

    `added` verdicts were just taken, or nothing was, because of some `trouble`.
    """
    return html.document(_title(asked.review), _page(asked, added, trouble), forms=True)


def _page(asked: AskedReview, added: int | None, trouble: str) -> Iterator[str]:
    review = asked.review
    address = f"/review/{text(review.id)}"
    yield '<p><a href="/">all reviews</a></p>'
    yield f"<h1>{text(_title(review))}</h1>"
    yield html.quiet(
        f"scored {minute(review.time)}: {review.alerts:,} alerts, with an energy above "
        f"{review.threshold:.4g}, and {review.below:,} other rows, of which some were drawn"
    )
    if trouble:
        yield html.banner("bad", f"Nothing was taken: {trouble}")
    elif added is not None:
        yield html.banner("good", f"{added:,} verdict{'' if added == 1 else 's'} added")
    yield html.table((), seen_figures(asked.live))
    who = text(asked.who)
    yield (
        f'<form method="get" action="{address}"><p>Judging as <input name="who" value="{who}" '
        f'maxlength="{LONGEST_NAME}" required aria-label="Judging as"> '
        "<button>change</button></p></form>"
    )
    yield f'<form method="post" action="{address}" autocomplete="off">'
    yield f'<input type="hidden" name="who" value="{who}">'
    yield html.table(
        ("row", "energy", "it was", "reasons and values", "verdict", "note", "others"),
        [_line(row, asked) for row in asked.rows],
        numbers=(0, 1),
    )
    yield "<p><button>Send the verdicts</button></p></form>"
    yield html.quiet(
        "Rows without a verdict wait. `unsure` takes a verdict of yours back. Nothing that was "
        "sent is ever changed; the newest verdict of each person counts."
    )


def _line(row: ReviewRow, asked: AskedReview) -> tuple[object, ...]:
    entry = asked.entries.get(row.row_id, FormRow())
    others = [f"{each.who}: {each.verdict}" for each in asked.others.get(row.row_key, ())]
    return (
        row.row_id,
        f"{row.energy:.4g}",
        "alert" if row.flagged else "below",
        Raw(_values(row)),
        Raw(_choice(row.row_id, entry)),
        Raw(
            f'<input name="note.{row.row_id}" value="{text(entry.note)}" '
            f'maxlength="{LONGEST_NOTE}" aria-label="note on row {row.row_id}">'
        ),
        ", ".join(others),
    )


def _values(row: ReviewRow) -> str:
    values = json.loads(row.row)
    shown = [(name, "missing" if value is None else value) for name, value in values.items()]
    listed = html.table((), shown)
    summary = text(row.reasons or f"{len(values)} values")
    return f"<details><summary>{summary}</summary>{listed}</details>"


def _choice(row_id: int, entry: FormRow) -> str:
    choices = (
        f'<label><input type="radio" name="verdict.{row_id}" value="{word}"'
        f"{' checked' if word == entry.word else ''}> {word}</label><br>"
        for word in WORDS
    )
    return f'{"".join(choices)}<input type="hidden" name="had.{row_id}" value="{entry.had}">'


def trouble(sentence: str) -> str:
    """The page of a request that cannot be answered."""
    body = (f"<h1>{text(sentence)}</h1>", '<p><a href="/">all reviews</a></p>')
    return html.document("Rows to judge", body)


def review_address(review: str, who: str, added: int) -> str:
    """Where a browser finds a review after what it sent was taken."""
    return f"/review/{review}?{urlencode({'who': who, 'added': added})}"


def _title(review: Review) -> str:
    return f"{_version(review)}: rows of {review.source}"


def _version(review: Review) -> str:
    return f"{review.model}/{review.version}"
