"""The pages on which people judge the rows of a review: plain forms, which need no script."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.intake.screen import seen_figures
from flows.reporting import html
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
    return html.render("reviews.html", "Rows to judge", forms=True, reviews=reviews)


def review_form(asked: AskedReview, *, added: int | None = None, trouble: str = "") -> str:
    """The page of a review.

    `added` verdicts were just taken, or nothing was, because of some `trouble`.
    """
    review = asked.review
    return html.render(
        "review.html",
        f"{review.model}/{review.version}: rows of {review.source}",
        forms=True,
        asked=asked,
        added=added,
        trouble=trouble,
        seen=seen_figures(asked.live),
        words=WORDS,
        empty=FormRow(),
        parsed=json.loads,
        longest_name=LONGEST_NAME,
        longest_note=LONGEST_NOTE,
    )


def trouble(sentence: str) -> str:
    """The page of a request that cannot be answered."""
    return html.render("trouble.html", "Rows to judge", sentence=sentence)
