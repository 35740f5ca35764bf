"""Parts of a contract beside its columns: label, counts, sample, rules, split, drift, scoring."""

from typing import Literal, Self

from pydantic import Field, model_validator

from data_checks.contract.columns import ContractPart, Outside, Severity

ANY = "*"


class Label(ContractPart):
    """Which column holds the label, and what its values mean.

    `normal` and `anomalous` list label values as text; one of the two may be "*" for "all others".
    In a file without a header the label is the last column, unless `position` (from 0) says where.
    """

    column: str = Field(description="Column that holds the label")
    normal: tuple[str, ...] | Literal["*"] = Field(
        description="Values that mean normal; '*' for all others"
    )
    anomalous: tuple[str, ...] | Literal["*"] = Field(
        description="Values that mean anomalous; '*' for all others"
    )
    position: int | None = Field(
        None, description="Position from 0 in a file without a header; the last unless given"
    )
    meaning: str = Field("", description="For the reader")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.normal == ANY and self.anomalous == ANY:
            raise ValueError("normal and anomalous cannot both be '*'; list one of them")
        if self.normal != ANY and self.anomalous != ANY:
            if both := sorted(set(self.normal) & set(self.anomalous)):
                raise ValueError(f"{', '.join(both)} listed as both normal and anomalous")
            if not self.normal:
                raise ValueError("no normal label listed, so nothing could be trained on")
        return self

    @property
    def known(self) -> tuple[str, ...] | None:
        """All label values allowed, or None when "*" admits any."""
        if self.normal == ANY or self.anomalous == ANY:
            return None
        return self.listed

    @property
    def listed(self) -> tuple[str, ...]:
        """The label values that the contract names, without blanks around them."""
        named = [*(() if self.normal == ANY else self.normal)]
        named += () if self.anomalous == ANY else self.anomalous
        return tuple(level.strip() for level in named)


class RowCount(ContractPart):
    """How many rows the table must have."""

    minimum: int = Field(1, description="Fewest rows of the table")
    maximum: int | None = Field(None, description="Most rows of the table")
    severity: Severity = Field("critical", description="critical fails the check; else reported")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum < 0 or (self.maximum is not None and self.maximum < self.minimum):
            raise ValueError("needs 0 <= minimum <= maximum")
        return self


class Sample(ContractPart):
    """Keep all rows of one class and a seeded random subset of the other."""

    of: Literal["normal", "anomalous"] = Field(description="Class that is sampled")
    rows: int = Field(description="Rows that are kept of it")
    seed: int = Field(0, description="Seed of the draw")


class Rule(ContractPart):
    """A condition across columns of one row, for example `src_bytes + dst_bytes >= hot`.

    A row for which `check` is false breaks the rule; a row with a missing value in it does not.
    """

    name: str = Field(description="Name, for reports and the quarantine")
    check: str = Field(description="Condition that every row must meet; see the page on contracts")
    severity: Severity = Field(
        "critical", description="critical quarantines the rows that break it; else reported"
    )
    meaning: str = Field("", description="For the reader")

    @model_validator(mode="after")
    def _parses(self) -> Self:
        from data_checks.contract.expressions import parse

        parse(self.check)
        return self


class Split(ContractPart):
    """Shares of train, validation and test, what stays on one side, and whether time divides."""

    train: float = Field(0.6, description="Share of training rows")
    validation: float = Field(0.2, description="Share of validation rows")
    test: float = Field(0.2, description="Share of test rows")
    group_duplicates: bool = Field(False, description="Keep identical rows on one side")
    group_column: str | None = Field(
        None,
        description="Keep rows with the same value of this column on one side; an identifier that "
        "is named here may occur more than once",
    )
    time_column: str | None = Field(
        None,
        description="Timestamp or number by which to split: the earliest rows train, the latest "
        "test",
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        shares = (self.train, self.validation, self.test)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError("train, validation and test must be positive and sum to 1")
        return self


class Drift(ContractPart):
    """From which distance on a column counts as drifted (population stability index)."""

    warning: float = Field(0.1, description="Population stability index from which to warn")
    critical: float = Field(0.25, description="Population stability index that is critical")
    unseen_share: float = Field(
        0.01, description="Tolerated share of rows with levels not seen in training"
    )


class Scoring(ContractPart):
    """What becomes of rows to be scored that training would have quarantined.

    `outside` is about a level outside its vocabulary and a number outside its range: `mark` scores
    the row and says so (a new level is an all-zero one-hot block), `reject` does not score it. The
    strangest rows are the ones that a detector is there to see, so `mark` is the default.
    """

    outside: Outside = Field(
        "mark", description="Levels outside their vocabulary, numbers outside their range"
    )
