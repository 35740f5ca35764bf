"""How many candidates does a simple detector beat? The gate's own judgement on a suite of tables.

Every table is split as a training splits it (train, validation, test); the candidate and the simple
detectors are fitted on the training rows, the threshold comes from the validation rows, and the
gate *not beaten by simple detectors* judges the test rows. `auto` chooses as `dagmm train` does,
by training rows held out and by the labelled anomalies outside the test.

    DAGMM_DATA_DIR=... python benchmarks/quality/gate.py --suite adbench --detector dagmm
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from dagmm_model.detectors.baselines.simple import SIMPLE
from dagmm_model.detectors.catalogue import make_detector
from flows.benchmarking.data import Prepared
from flows.benchmarking.protocols import Limits
from flows.benchmarking.suite import MOST_ROWS, prepare_table, tables_of
from flows.benchmarking.work import figures
from flows.common.config import AUTO
from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.pipeline.choose import best_of
from flows.pipeline.ranking import Rankable
from flows.promotion.gates.case import Case
from flows.promotion.gates.comparisons import simple_detectors


@dataclass(frozen=True)
class Judged:
    """A candidate on a table.

    Attributes:
        table: Name of the table.
        seed: Of split and detectors.
        detector: What was trained.
        passed: The gate's verdict.
        average_precision: Of the candidate, on the test rows.
        simple: Of the best simple detector, which `best` names.
        best: Its name.
        f1: Of the candidate at the validation rows' threshold.
        false_alarms: Share of normal test rows that it flags.
        reason: What the gate says.
    """

    table: str
    seed: int
    detector: str
    passed: bool
    average_precision: float
    simple: float
    best: str
    f1: float
    false_alarms: float
    reason: str


def judged(data: Prepared, name: str, preset: str, seed: int) -> Judged:
    """Train on a table as deployed, and let the gate judge."""
    split = data.split("deployment", seed, grouped=False)
    train, test = data.take(split.train), data.take(split.test)
    labels = data.labels()[split.test]
    if name == AUTO:
        share = (len(split.train) + len(split.validation)) / max(1, len(split.set_aside))
        name = best_of(Rankable(train, data.take(split.set_aside), share), seed).detector
    detector = make_detector(name, preset or None, seed).fit(train)
    energies, held = detector.energy(test), detector.energy(data.take(split.validation))
    simple = {other: make_detector(other, seed=seed).fit(train).energy(test) for other in SIMPLE}
    case = Case(
        policy=PromotionPolicy(),
        evidence={},
        frame=None,
        labels=labels,
        slices=None,
        recorded=energies,
        candidate=energies,
        production=None,
        production_error="",
        baselines=simple,
        baseline_rows=np.arange(len(labels)),
        threshold=float("nan"),
        calibration=np.sort(held),
        health=None,
    )
    finding = simple_detectors(case)
    mine = figures(labels, energies, held)
    theirs = {other: figures(labels, scores, None)["ap"] or 0.0 for other, scores in simple.items()}
    best = max(theirs, key=theirs.__getitem__)
    return Judged(
        table=data.dataset,
        seed=seed,
        detector=name,
        passed=finding.passed,
        average_precision=mine["ap"] or 0.0,
        simple=theirs[best],
        best=best,
        f1=mine["f1"] or 0.0,
        false_alarms=mine["false_alarms"] or 0.0,
        reason=finding.note,
    )


def main() -> None:
    """Print a line for each table, and the share of candidates that were beaten."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="adbench")
    parser.add_argument("--tables", nargs="*", default=[])
    parser.add_argument("--detector", default="dagmm", help="NAME, NAME:PRESET or auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    name, _, preset = options.detector.partition(":")
    results = []
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        for file in tables_of(options.suite, options.tables, Settings().data_dir):
            data = prepare_table(file, Path(scratch), Limits(MOST_ROWS))
            for seed in range(options.seeds):
                results.append(judged(data, name, preset, seed))
                line = results[-1]
                print(
                    f"{line.table:<18} {line.seed} {line.detector:<17} "
                    f"{'passed' if line.passed else 'BEATEN':<7} "
                    f"AP {line.average_precision:.3f}, best simple {line.simple:.3f} "
                    f"({line.best}), F1 {line.f1:.3f}, false alarms {line.false_alarms:.3f}  "
                    f"{line.reason}",
                    file=sys.stderr if options.json else sys.stdout,
                    flush=True,
                )
    beaten = sum(not line.passed for line in results)
    below = sum(line.average_precision < line.simple for line in results)
    if options.json:
        summary = {"candidates": len(results), "beaten": beaten, "below_the_best_simple": below}
        print(json.dumps(summary | {"judged": [asdict(line) for line in results]}))
    else:
        print(
            f"{beaten} of {len(results)} candidates beaten by a simple detector beyond doubt and "
            f"margin; {below} below the best of the four in average precision"
        )


if __name__ == "__main__":
    main()
