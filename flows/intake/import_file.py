"""A file of verdicts to the store, and what is known of the model then."""

import getpass
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

from dagmm_model.base.integrity import sha256_of
from flows.common.settings import Settings
from flows.intake.match_rows import JudgedModel, JudgedRow, find_rows
from flows.scoring.review_sample import database_of
from flows.tracking import registry
from flows.verdicts import store
from flows.verdicts.estimates import Live, known_verdicts
from flows.verdicts.file import read_lines, unguarded
from flows.verdicts.rows import row_key
from flows.verdicts.standing import RowVerdict, standing


@dataclass(frozen=True)
class Intake:
    """What became of a file of verdicts.

    Attributes:
        given: Verdicts in it.
        added: Those that were new.
        empty: Lines without a verdict.
    """

    source: str
    given: int
    added: int
    empty: int


@dataclass(frozen=True)
class VerdictReport:
    """What people have said of the rows of a model, and what follows.

    Attributes:
        model: `NAME/VERSION` whose figures these are.
        intake: What was read now; None where nothing was.
        holds: Rows by what holds of them.
    """

    model: str
    intake: Intake | None
    holds: Mapping[str, int]
    live: Live


def give_verdicts(
    client: MlflowClient,
    settings: Settings,
    reference: str,
    data: str | None = None,
    *,
    rows: str | None = None,
    by: str | None = None,
) -> VerdictReport:
    """Add the verdicts of a file, and say what is known of the model.

    All of the file is taken or nothing of it. Repeating it adds nothing.

    Args:
        client: Registry.
        settings: Data folder and database.
        reference: `NAME`, `NAME@alias` or `NAME/VERSION`.
        data: File with a column `verdict` and, for each line, a row of a review, or the number
            of a row of `rows`, or the row's own values.
        rows: Raw rows that were scored, for files that name rows by their number only.
        by: Who gave the verdicts that do not say it; the user unless given.

    Raises:
        UsageError: A line cannot be used; the message names it. Or there is no such model, or no
            database.
    """
    url = database_of(settings)
    version = registry.find_model(client, reference)
    name, intake = version.name, None
    if data is not None:
        path = Path(data)
        names, lines = read_lines(path)
        judged = [line for line in lines if line.word is not None]
        model = JudgedModel(client, version)
        judged_rows = find_rows(judged, names, model, settings, url, rows, path.name)
        given = _given(judged_rows, by or getpass.getuser())
        submission = store.Submission(name, str(path), sha256_of(path), getpass.getuser())
        added = keep(client, url, submission, given) if given else 0
        intake = Intake(str(path), len(given), added, len(lines) - len(judged))
    return VerdictReport(
        f"{name}/{version.version}", intake, *known_verdicts(url, name, int(version.version))
    )


def keep(
    client: MlflowClient, url: str, submission: store.Submission, given: Sequence[RowVerdict]
) -> int:
    """Add verdicts, and show on the model's page that there are some; gives how many were new.

    Whoever trains the model has to see them, also where only a server knows their database.
    """
    added = store.add_verdicts(url, submission, given)
    verdicts = store.read_verdicts(url, submission.model)
    client.set_registered_model_tag(
        submission.model, store.TAG, f"{len(verdicts)} on {len(standing(verdicts))} rows"
    )
    return added


def _given(rows: Sequence[JudgedRow], by: str) -> list[RowVerdict]:
    """The verdicts, without those that a line of the same file repeats.

    Raises:
        UsageError: A person says two things of one row at one time.
    """
    now = time.time()
    verdicts: dict[tuple[str, str, float], tuple[JudgedRow, RowVerdict]] = {}
    for row in rows:
        line, word = row.line, row.line.word
        assert word is not None
        verdict = RowVerdict(
            row_key=row_key(row.text),
            row=row.text,
            verdict=word,
            who=unguarded(line.cells.get("who", "")) or by,
            time=line.time(now),
            note=unguarded(line.cells.get("note", "")),
            version=row.version,
            energy=row.energy,
            flagged=row.flagged,
            review=line.cells.get("review", ""),
        )
        place = (verdict.row_key, verdict.who, verdict.time)
        if place in verdicts and verdicts[place][1].verdict != word:
            other = verdicts[place][0].line.place
            raise line.refuse(
                "verdict",
                f"{verdict.who} says {word!r} here and {verdicts[place][1].verdict!r} of an equal "
                f"row in {other}; say in the column `when` which is newer, or keep one",
            )
        verdicts.setdefault(place, (row, verdict))
    return [verdict for _, verdict in verdicts.values()]
