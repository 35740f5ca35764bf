"""Lines of a file of verdicts to the rows that they are about, scored as they were."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.evaluation.threshold import exceeds
from data_checks.contract.model import Contract
from data_checks.rows.rows import check_rows
from data_checks.sources.reading import locate, picked_rows
from flows.common.errors import UsageError
from flows.common.features import as_columns
from flows.common.settings import Settings
from flows.scoring.version import read_version
from flows.tracking import registry
from flows.verdicts import store
from flows.verdicts.file import VerdictLine, column_in_file, unguarded
from flows.verdicts.rows import row_texts

SAME_ENERGY = 1e-4
"""Largest relative difference that a spreadsheet's rounding explains."""


@dataclass(frozen=True)
class JudgedRow:
    """A line with the row that it is about."""

    line: VerdictLine
    text: str
    energy: float
    flagged: bool
    version: int


@dataclass
class JudgedModel:
    """Versions of one model, loaded once each."""

    client: MlflowClient
    asked: ModelVersion
    loaded: dict[int, tuple[ScoringBundle, Contract]] = field(default_factory=dict)

    def version_of(self, line: VerdictLine) -> int:
        """The version that a line names, or the one that was asked for."""
        named = line.cells.get("model", "")
        if not named:
            return int(self.asked.version)
        name, _, number = named.removeprefix("models:/").rpartition("/")
        if name != self.asked.name or not number.isdigit():
            raise line.refuse(
                "model", f"{named!r} is no version of {self.asked.name!r}, whose verdicts these are"
            )
        if registry.version_or_none(self.client, name, int(number)) is None:
            raise line.refuse("model", f"there is no {named!r} any more")
        return int(number)

    def load(self, number: int) -> tuple[ScoringBundle, Contract]:
        if number not in self.loaded:
            version = registry.find_version(self.client, self.asked.name, number)
            self.loaded[number] = read_version(self.client, version)
        return self.loaded[number]


def find_rows(
    lines: Sequence[VerdictLine],
    names: Sequence[str],
    model: JudgedModel,
    settings: Settings,
    url: str,
    rows: str | None,
    file: str,
) -> list[JudgedRow]:
    """The rows of the lines, by the review, by the number in the source, or by their values."""
    reviewed = [line for line in lines if "review" in line.cells]
    others = [line for line in lines if "review" not in line.cells]
    matched = _of_reviews(reviewed, model, url)
    by_version: dict[int, list[VerdictLine]] = {}
    for line in others:
        by_version.setdefault(model.version_of(line), []).append(line)
    for number, some in by_version.items():
        bundle, contract = model.load(number)
        wanted = [column_in_file(column.name) for column in contract.feature_columns]
        absent = [column for column in wanted if column not in names]
        if rows is not None:
            features = _of_source(some, contract, settings, rows)
        elif not absent:
            features = _of_values(some, contract, file)
        else:
            columns = ", ".join(repr(column) for column in absent[:3])
            more = "…" if len(absent) > 3 else ""
            raise UsageError(
                f"{some[0].place}: nothing says which row this is: the file has no column "
                f"'review', and not the row's own values (missing: {columns}{more}); name the "
                "rows that were scored with --rows INPUT, or have `dagmm score --review 20` write "
                "a file to fill in"
            )
        matched += _scored(some, features, bundle, number)
    return matched


def _of_reviews(lines: Sequence[VerdictLine], model: JudgedModel, url: str) -> list[JudgedRow]:
    if not lines:
        return []
    reviews, drawn = store.read_reviews(url, model.asked.name)
    known = {review.id: review for review in reviews}
    rows = {(row.review, row.row_id): row for row in drawn}
    matched = []
    for line in lines:
        review = known.get(line.cells["review"])
        if review is None:
            raise line.refuse(
                "review",
                f"there is no review {line.cells['review']!r} of {model.asked.name!r}",
            )
        if model.version_of(line) != review.version and "model" in line.cells:
            raise line.refuse("model", f"review {review.id} is of version {review.version}")
        row = rows.get((review.id, -1 if line.row_id() is None else int(line.row_id() or 0)))
        if row is None:
            shown = line.cells.get("row_id", "")
            raise line.refuse("row_id", f"{shown!r} is no row of review {review.id}")
        matched.append(JudgedRow(line, row.row, row.energy, row.flagged, review.version))
    return matched


def _of_source(
    lines: Sequence[VerdictLine], contract: Contract, settings: Settings, source: str
) -> pa.Table:
    """Rows by their numbers in the source that was scored."""
    numbers = []
    for line in lines:
        number = line.row_id()
        if number is None:
            raise line.refuse("row_id", f"empty: which row of {source} is it?")
        numbers.append(number)
    wanted = np.unique(np.array(numbers, dtype=np.int64))
    location = locate(contract, source, settings.data_dir)
    place: dict[int, int] = {}
    tables = []
    for ids, batch in picked_rows(contract, location, wanted):
        place |= {number: len(place) + at for at, number in enumerate(ids.tolist())}
        tables.append(pa.Table.from_batches([batch]))
    for line, number in zip(lines, numbers, strict=True):
        if number not in place:
            raise line.refuse("row_id", f"{source} has no row {number}")
    raw = pa.concat_tables(tables).take(pa.array([place[number] for number in numbers]))
    return _checked(raw, lines, contract, source)


def _of_values(lines: Sequence[VerdictLine], contract: Contract, file: str) -> pa.Table:
    columns = {}
    for column in contract.feature_columns:
        cells = [line.cells.get(column_in_file(column.name)) for line in lines]
        texts = [None if cell is None else unguarded(cell) for cell in cells]
        columns[column.name] = pa.array(texts, pa.string())
    return _checked(pa.table(columns), lines, contract, file)


def _checked(
    raw: pa.Table, lines: Sequence[VerdictLine], contract: Contract, where: str
) -> pa.Table:
    checked = check_rows(raw, contract, where=where, outside="mark")
    bad = np.flatnonzero(~checked.scorable)
    if len(bad):
        line = lines[int(bad[0])]
        raise UsageError(f"{line.place}: no row that can be scored: {checked.reasons[bad[0]]}")
    return checked.features


def _scored(
    lines: Sequence[VerdictLine], features: pa.Table, bundle: ScoringBundle, version: int
) -> Iterator[JudgedRow]:
    """The rows with their energies now, which have to be those in the file, if it has them."""
    energies = bundle.score(as_columns(features)).energy.tolist()
    for line, text, energy in zip(lines, row_texts(features), energies, strict=True):
        written = line.number("energy")
        if written is not None and abs(written - energy) > SAME_ENERGY * max(1.0, abs(energy)):
            raise line.refuse(
                "energy",
                f"{written:g}, but version {version} gives this row {energy:g}: it is another row "
                "than the one that was scored, or of another version (column `model`)",
            )
        limit = line.number("threshold")
        threshold = bundle.threshold.value if limit is None else limit
        yield JudgedRow(line, text, energy, bool(exceeds(energy, threshold)), version)
