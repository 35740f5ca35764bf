"""Do fifty verdicts a day lower the false alarms? KDD's own order of time, by the commands' code.

Normal traffic of KDD in the order in which it came: the first rows train version 1; the next are
days of 2,000 rows with 2 % attacks (drawn from all types alike), each scored with the version in
production; 30 alerts drawn at random and 20 rows drawn below the threshold are judged by the
labels of KDD. Every fifth day the same table is trained again, which takes the verdicts in, and the
gates decide. At the end the version in production and the newest one are compared with version 1 on
later rows that nobody has judged, at equal recall. All trainings have one seed: they differ by the
verdicts alone.

    DAGMM_DATA_DIR=... python benchmarks/quality/verdicts.py --home FOLDER [--days 20] [--json]

The folder is the home of the registry, and has to be new. Takes about half an hour of a core.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml

from data_checks.contract.model import load_contract
from data_checks.sources.sources import ingest
from flows.common.settings import Settings
from flows.intake.import_file import give_verdicts
from flows.promotion.version.stored_version import score_rows
from flows.scoring.run import score
from flows.tracking import registry, tracking

INITIAL, ATTACKS_INITIAL = 12_000, 600
DAY, SHARE = 2_000, 0.02
ALERTS, DRAWN = 30, 20
EVERY = 5
FINAL, ATTACKS_FINAL = 20_000, 1_000
RECALLS = (0.8, 0.9, 0.95)
NAME = "dagmm-traffic"


def read_kdd(home: Path) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Normal rows in their order, attacks, and a contract for both."""
    shipped = load_contract("kddcup_rev")
    whole = shipped.model_copy(update={"sample": None, "anomaly_ratio": None})
    table = home / "kdd.parquet"
    ingest(whole, table, data_dir=Settings().data_dir)
    names = [column.name for column in shipped.columns if column.type != "ignored"]
    frame = pq.read_table(table, columns=[*names, "label"]).to_pandas()
    document = json.loads(shipped.model_dump_json())
    document |= {"name": "traffic", "sample": None, "anomaly_ratio": None, "slice_column": None}
    document |= {"rows": {"minimum": 1}, "max_quarantine_share": 0.01}
    document["source"] = {"kind": "parquet", "file": "initial.parquet"}
    file = home / "traffic.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    normal = frame["label"] == "normal."
    return frame[normal].reset_index(drop=True), frame[~normal].reset_index(drop=True), file


def some_attacks(attacks: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Attacks of all types alike: a type is drawn, then one of its rows."""
    groups = list(attacks.groupby("label").indices.values())
    places = [rng.choice(groups[kind]) for kind in rng.integers(len(groups), size=rows)]
    return attacks.iloc[places]


def mixed(normal: pd.DataFrame, attacks: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Both, in random order."""
    both = pd.concat([normal, attacks])
    return both.iloc[rng.permutation(len(both))].reset_index(drop=True)


def train(contract: Path, data: Path, seed: int, *, promote: bool = True) -> dict:
    """`dagmm train`, as a user runs it."""
    command = [
        *(str(Path(sys.executable).with_name("dagmm")), "train", str(contract), "--json"),
        *("--data", str(data), "--set", f"seed={seed}"),
        *("--set", "promotion.serving_check=false", "--set", f"promotion.promote={promote}"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def judged(file: Path, truth: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """The file to fill in, with verdicts on every row drawn and on thirty alerts."""
    asked = pd.read_csv(file, dtype={"verdict": object, "who": object})
    alerts = np.flatnonzero(asked["is_anomaly"])
    looked = rng.choice(alerts, min(ALERTS, len(alerts)), replace=False)
    rows = np.concatenate([np.flatnonzero(~asked["is_anomaly"]), looked])
    words = np.where(truth[asked["row_id"].to_numpy()], "anomaly", "normal")
    return asked.iloc[rows].assign(verdict=words[rows], who="oracle")


def a_day(settings, client, home: Path, number: int, rows: pd.DataFrame, rng) -> dict:
    """Score a day, judge fifty rows of it, send the verdicts in."""
    raw, out = home / f"day{number}.parquet", home / f"scored{number}.parquet"
    rows.drop(columns="label").to_parquet(raw)
    report = score(str(raw), str(out), NAME, settings, review_rows=DRAWN)
    truth = (rows["label"] != "normal.").to_numpy()
    scored = pd.read_parquet(out)
    flagged = scored["is_anomaly"].to_numpy()
    known = scored["remarks"].str.contains("known: ", na=False).to_numpy()
    verdicts = home / f"verdicts{number}.csv"
    judged(Path(str(report.review)), truth, rng).to_csv(verdicts, index=False)
    live = give_verdicts(client, settings, NAME, str(verdicts)).live
    return {
        "day": number,
        "version": live.version,
        "false_alarms": int((flagged & ~truth).sum()),
        "recall": float((flagged & truth).sum() / truth.sum()),
        "known_false_alarms": int((known & ~truth).sum()),
        "known_attacks": int((known & truth).sum()),
    }


def at_recalls(energies: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of normal rows above the threshold that each recall needs."""
    limits = -np.quantile(-energies[truth], RECALLS, method="inverted_cdf")
    above = energies[~truth] >= limits[:, None]
    return {f"{r:g}": float(row.mean()) for r, row in zip(RECALLS, above, strict=True)}


def main() -> None:
    """Print the days and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    home = arguments.home.resolve()
    home.mkdir(parents=True)
    os.environ.update(DAGMM_HOME=str(home / "mlruns"), DAGMM_PROGRESS="off")
    rng = np.random.default_rng(arguments.seed)
    normal, attacks, contract = read_kdd(home)
    initial = home / "initial.parquet"
    mixed(
        normal.iloc[:INITIAL], some_attacks(attacks, ATTACKS_INITIAL, rng), rng
    ).to_parquet(initial)  # fmt: skip
    first = train(contract, initial, 0)["registration"]["version"]
    settings = Settings()
    client = tracking.connect(settings)
    days, newest = [], first
    for number in range(arguments.days):
        begin = INITIAL + number * DAY
        rows = normal.iloc[begin : begin + DAY]
        rows = mixed(rows, some_attacks(attacks, round(DAY * SHARE), rng), rng)
        days.append(a_day(settings, client, home, number, rows, rng))
        print(days[-1], file=sys.stderr, flush=True)
        if (number + 1) % EVERY == 0:
            trained = train(contract, initial, 0)
            newest = trained["registration"]["version"]
            days[-1]["decision"] = trained["promotion"]["decision"]
    last = registry.version_behind(client, NAME, registry.PRODUCTION)
    later = normal.iloc[INITIAL + arguments.days * DAY :]
    later = later.iloc[np.sort(rng.choice(len(later), min(FINAL, len(later)), replace=False))]
    final = mixed(later, some_attacks(attacks, ATTACKS_FINAL, rng), rng)
    truth = (final["label"] != "normal.").to_numpy()
    compared = {}
    for title, number in (("first", first), ("production", last), ("newest", newest)):
        version = registry.find_version(client, NAME, int(number or 0))
        energy = score_rows(client, version, final.drop(columns="label"))
        compared[title] = {"version": int(number or 0), **at_recalls(energy, truth)}
    summary = {"days": days, "false_alarm_rate_at_recall": compared, "rows": len(final)}
    if arguments.json:
        print(json.dumps(summary))
        return
    print(pd.DataFrame(days).to_string(index=False))
    print(f"\nfalse-alarm rate at equal recall, {len(final):,} later rows")
    print(pd.DataFrame(compared).T.to_string())


if __name__ == "__main__":
    main()
