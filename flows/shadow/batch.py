"""The shadow of `dagmm score`: it sees each slice once the slice has its verdicts.

Nothing that goes wrong here reaches the scoring: it is noted, and the shadow ends.
"""

import threading
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from flows.common import progress
from flows.common.errors import UsageError, message_of
from flows.common.settings import Engine, Settings
from flows.scoring.judged_part import JudgedPart
from flows.scoring.rows import Judge
from flows.shadow.agreement import Agreement
from flows.shadow.record import PAGE, write_down
from flows.shadow.version import Version, fetch_sealed
from flows.tracking import registry, tracking


def check_shadow(reference: str | None, engine: Engine, fdr: float | None = None) -> None:
    """Refuse what a shadow cannot be compared with.

    Raises:
        UsageError: The verdicts are made elsewhere, or on the batch as a whole.
    """
    if reference is not None and (engine != "local" or fdr is not None):
        raise UsageError("--shadow compares verdicts on single rows: leave out --engine and --fdr")


@dataclass(frozen=True)
class ShadowReport:
    """What a shadow found, or why there was none.

    Attributes:
        candidate: `models:/NAME/VERSION`, or what was asked for.
        rows: That both scored.
        disagreement: Share of these on which only one raises an alert; None without rows.
        rank_correlation: Of the energies; None where nothing varies.
        run: Address of the MLflow run, or empty.
        page: Address of the page in it.
        failure: Why there is no comparison, or not of all rows.
    """

    candidate: str
    rows: int = 0
    disagreement: float | None = None
    rank_correlation: float | None = None
    run: str = ""
    page: str = ""
    failure: str = ""

    def text(self) -> str:
        """Lines under those of the scoring."""
        lines = []
        if self.disagreement is not None:
            ranks = self.rank_correlation
            shown = "" if ranks is None else f", rank correlation {ranks:.3f}"
            lines.append(
                f"{self.candidate}: {self.rows:,} rows, other alerts on "
                f"{self.disagreement:.2%}{shown}"
            )
        if self.failure:
            lines.append(f"{'' if lines else f'{self.candidate}: '}{self.failure}")
        if self.page:
            lines.append(self.page)
        return "\n".join(
            f"{'Shadow' if not place else '':<10} {line}" for place, line in enumerate(lines)
        )


@dataclass
class BatchShadow:
    """Compares a candidate with the version that scores; call it with every slice."""

    settings: Settings
    reference: str
    _agreement: Agreement = field(default_factory=lambda: Agreement(content=0), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _versions: tuple[Version, Version] | None = field(default=None, init=False)
    _failure: str = field(default="", init=False)

    def __call__(self, judge: Judge, first: int, raw: pa.RecordBatch, judged: JudgedPart) -> None:
        """Score a slice with the candidate, and compare; from several threads."""
        if self._failure:
            return
        try:
            production, candidate = self._pair(judge)
            good = np.zeros(raw.num_rows, bool)
            good[judged.scored.column("row_id").to_numpy() - first] = True
            agreement = Agreement(content=0)
            agreement.add(
                production, candidate, raw, judged.scored.column("energy").to_numpy(), good
            )
        except Exception as error:  # the rows have their verdicts, whatever the shadow does
            self._failure = message_of(error)
            progress.note(f"the shadow ends: {self._failure}")
            return
        with self._lock:
            self._agreement.merge(agreement)

    def finish(self) -> ShadowReport:
        """Write down what was found; raises nothing."""
        if self._versions is None:
            return ShadowReport(self.reference, failure=self._failure or "no rows")
        first, candidate = self._versions
        agreement, run, page = self._agreement, "", ""
        if agreement.rows:
            try:
                run, page = self._write_down(first, candidate)
            except Exception as error:
                self._failure = message_of(error)
        facts = agreement.document()
        return ShadowReport(
            candidate.uri,
            agreement.rows,
            facts["disagreement"],
            facts["rank_correlation"],
            run,
            page,
            self._failure,
        )

    def _pair(self, judge: Judge) -> tuple[Version, Version]:
        with self._lock:
            if self._versions is None:
                client = tracking.connect(self.settings)
                answers = registry.find_model(client, judge.model)
                first = Version(
                    name=answers.name,
                    number=int(answers.version),
                    sealed="",
                    bundle=judge.bundle,
                    contract=judge.contract,
                    outside=judge.outside,
                )
                wanted = registry.find_model(client, registry.sibling(answers.name, self.reference))
                if wanted.version == answers.version:
                    raise ValueError(f"{self.reference} is the version that scores")
                self._versions = first, fetch_sealed(client, wanted, judge.outside)
            return self._versions

    def _write_down(self, first: Version, candidate: Version) -> tuple[str, str]:
        """Addresses of the run and of the page in it."""
        client = tracking.connect(self.settings)
        run_id = write_down(
            client, self.settings, first, candidate, self._agreement, "dagmm score --shadow"
        )
        experiment = client.get_run(run_id).info.experiment_id
        run = tracking.run_url(self.settings, experiment, run_id)
        return run, tracking.run_url(self.settings, experiment, run_id, PAGE)
