"""How many candidates does a simple detector beat? The gate's own judgement on a suite of tables.

Every table is split as a training splits it (train, validation, test); the candidate and the simple
detectors are fitted on the training rows, the threshold comes from the validation rows, and the
gate *not beaten by simple detectors* judges the test rows. `auto` chooses as `dagmm train` does,
by training rows held out and by the labelled anomalies outside the test.

    DAGMM_DATA_DIR=... python benchmarks/quality/gate.py --suite adbench --detector dagmm
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from dagmm_model.detectors.baselines.simple import SIMPLE
from dagmm_model.detectors.catalogue import make_detector
from flows.benchmarking.data import Prepared
from flows.benchmarking.protocols import Limits
from flows.benchmarking.suite import MOST_ROWS, prepare_table, tables_of
from flows.benchmarking.work import cell_figures
from flows.common.config import AUTO
from flows.common.policy import PromotionPolicy
from flows.common.settings import Settings
from flows.pipeline.choose import best_of
from flows.pipeline.ranking import Rankable
from flows.promotion.gates.case import Case
from flows.promotion.gates.comparisons import simple_detectors


def judged(data: Prepared, name: str, preset: str, seed: int) -> dict[str, Any]:
    """Train on a table as deployed, and let the gate judge.

    `simple` is the average precision of the best simple detector, `f1` and `false_alarms` are those
    of the candidate at the validation rows' threshold.
    """
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
    mine = cell_figures(labels, energies, held)
    precision = {each.name.removeprefix("of "): each.value or 0.0 for each in finding.figures}
    best = max(simple, key=precision.__getitem__)
    return {
        "table": data.dataset,
        "seed": seed,
        "detector": name,
        "passed": finding.passed,
        "average_precision": precision["average precision"],
        "simple": precision[best],
        "best": best,
        "f1": mine["f1"] or 0.0,
        "false_alarms": mine["false_alarms"] or 0.0,
        "reason": finding.note,
    }


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
                print(*results[-1].values(), sep="\t", file=sys.stderr, flush=True)
    beaten = sum(not line["passed"] for line in results)
    below = sum(line["average_precision"] < line["simple"] for line in results)
    summary = {"candidates": len(results), "beaten": beaten, "below_the_best_simple": below}
    if options.json:
        print(json.dumps(summary | {"judged": results}))
    else:
        print(pd.DataFrame(results).round(3).to_string(index=False), summary, sep="\n")


if __name__ == "__main__":
    main()
