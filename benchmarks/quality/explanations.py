"""Do the reasons name the column that is wrong? Beside kernel SHAP of the same model.

Normal rows that the detector has not seen get one fault in one column: a number is moved by some
standard deviations, a level is exchanged. The reasons should name that column first. SHAP's kernel
explainer asks the same model thousands of times for each row, with all columns as features and
training rows as background; it is the usual way to explain a detector from outside.

    DAGMM_DATA_DIR=data python benchmarks/quality/explanations.py --rows 200 --shap-rows 40
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from fitted import fitted, rows_of
from scipy.stats import binomtest
from sklearn.preprocessing import OrdinalEncoder

from dagmm_model import DAGMM
from dagmm_model.detectors.bundle import ScoringBundle
from data_checks.contract.model import Contract, load_contract
from flows.common.features import as_frame

DATASETS = ("wdbc", "thyroid", "kddcup")
SIZES = (3.0, 6.0, 10.0)
MOST_ROWS = 10_000
BACKGROUND = 20
SEED = 0


@dataclass(frozen=True)
class World:
    """A model, and normal rows that it has not seen."""

    contract: Contract
    bundle: ScoringBundle
    train: pd.DataFrame
    fresh: pd.DataFrame


def prepare(name: str, preset: str) -> World:
    """Train on six tenths of the normal rows, calibrate on two, keep the rest."""
    contract = load_contract(name)
    normal, _ = rows_of(contract)
    detector = DAGMM(preset=preset, random_state=SEED)
    bundle, train, fresh = fitted(contract, normal, MOST_ROWS, (6, 8), detector)
    return World(contract, bundle, plain(train), plain(fresh))


def plain(table: pa.Table) -> pd.DataFrame:
    """Rows whose cells take any value."""
    frame = as_frame(table)
    return frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))


def with_faults(here: World, size: float, rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with one fault each, and the name of the column that has it ``(n,)``."""
    rng = np.random.default_rng([SEED, int(size * 10)])
    numeric = {c.name for c in here.contract.feature_columns if c.type == "numeric"}
    varied = [name for name in here.train if here.train[name].nunique() > 1]
    chosen = rng.choice(len(here.fresh), rows, replace=rows > len(here.fresh))
    frame = here.fresh.iloc[chosen].reset_index(drop=True).copy()
    places = rng.choice(varied, rows)
    for row, name in enumerate(places):
        if name in numeric:
            step = rng.choice([-1.0, 1.0]) * size * here.train[name].std()
            frame[name] = frame[name].astype(float)
            frame.loc[row, name] += step
        else:
            levels = [level for level in here.train[name].unique() if level != frame.loc[row, name]]
            frame.loc[row, name] = levels[rng.integers(len(levels))]
    return frame, places


def by_reasons(here: World, frame: pd.DataFrame) -> np.ndarray:
    """Importance of each column for each row ``(n, C)``, as `dagmm score` tells it."""
    reasons = here.bundle.score(frame, explain="all").reasons
    assert reasons is not None
    order = [reasons.columns.index(name) for name in frame]
    return reasons.shares[:, order]


def by_shap(here: World, frame: pd.DataFrame) -> np.ndarray:
    """Importance of each column for each row ``(n, C)``, by SHAP's kernel explainer."""
    import shap

    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    ordinal = OrdinalEncoder().fit(pd.concat([here.train, frame])[words]) if words else None

    def coded(table: pd.DataFrame) -> np.ndarray:
        codes = dict(zip(words, ordinal.transform(table[words]).T, strict=True)) if ordinal else {}
        return table.assign(**codes).to_numpy(np.float64)

    def energy(matrix: np.ndarray) -> np.ndarray:
        table = pd.DataFrame(matrix, columns=list(frame))
        if ordinal:
            table[words] = ordinal.inverse_transform(table[words])
        return here.bundle.score(table.astype(here.train.dtypes)).energy

    background = coded(here.train.sample(BACKGROUND, random_state=SEED))
    explainer = shap.KernelExplainer(energy, background)
    return np.asarray(explainer.shap_values(coded(frame), silent=True))


def rank_of_truth(importance: np.ndarray, names: list[str], truth: np.ndarray) -> np.ndarray:
    """How many columns are more important than the true one ``(n,)``."""
    column = np.array([names.index(name) for name in truth])
    own = np.take_along_axis(importance, column[:, None], axis=1)
    return np.asarray((importance > own).sum(axis=1))


def measure(name: str, rows: int, shap_rows: int, preset: str) -> list[dict[str, Any]]:
    """Both ways of explaining, at every size of fault."""
    here = prepare(name, preset)
    results = []
    for size in SIZES:
        frame, truth = with_faults(here, size, rows)
        ways: dict[str, tuple[Callable[[World, pd.DataFrame], np.ndarray], int]] = {
            "reasons": (by_reasons, rows),
            "reasons, the rows of SHAP": (by_reasons, shap_rows),
            "kernel SHAP": (by_shap, shap_rows),
        }
        for way, (explain, many) in ways.items():
            some, started = frame.head(many), time.process_time()
            ranks = rank_of_truth(explain(here, some), list(frame), truth[:many])
            spent = time.process_time() - started
            flagged = here.bundle.score(some).is_anomaly
            results.append(
                {
                    "dataset": name, "columns": frame.shape[1], "size": size, "way": way,
                    "rows": many, "first": int((ranks == 0).sum()),
                    "first_three": int((ranks < 3).sum()), "flagged": int(flagged.sum()),
                    "first_of_flagged": int((ranks[flagged] == 0).sum()),
                    "ms_per_row": 1000 * spent / many,
                }
            )  # fmt: skip
            show(results[-1])
    return results


def show(one: dict[str, Any]) -> None:
    """Print one line."""
    rows, first = one["rows"], one["first"]
    interval = binomtest(first, rows).proportion_ci(0.95)
    print(
        f"{one['dataset']:8} {one['size']:4g} s.d.  {one['way']:26} first {first}/{rows} "
        f"({first / rows:.0%} [{interval.low:.0%}, {interval.high:.0%}]), among three "
        f"{one['first_three'] / rows:.0%}; of {one['flagged']} anomalies first "
        f"{one['first_of_flagged']}; {one['ms_per_row']:.3g} ms a row",
        flush=True,
    )


def main() -> None:
    """Print lines, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--shap-rows", type=int, default=40, help="they cost seconds each")
    parser.add_argument("--preset", default="recommended")
    parser.add_argument("--output", type=Path, help="also write JSON here")
    options = parser.parse_args()
    results = [
        line
        for name in options.datasets
        for line in measure(name, options.rows, options.shap_rows, options.preset)
    ]
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
