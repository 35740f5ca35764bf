"""Writes the tables of docs/first-table.md: `python docs/examples/pumps.py FOLDER`.

`pumps.csv` is 3,000 hours of twelve pump stations, 2 % of them failures; `today.csv` is 200 later
hours without labels, of which five are failures; `summer.csv` is 400 hours of a hotter season.
`edited.yaml` is the contract after reading every line, for the `pumps.csv` beside it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

IN_THE_DATA_FOLDER = "file: pumps.csv  # in the data folder (DAGMM_DATA_DIR)"


def hours(
    count: int, start: str, rng: np.random.Generator, failures: float, heat: float = 0
) -> pd.DataFrame:
    """Rows of pump stations; in a failure the flow no longer follows the pressure."""
    mode = rng.choice(["low", "high"], count, p=[0.7, 0.3])
    pressure = np.where(mode == "high", 7.5, 4.0) + rng.normal(0, 0.4, count)
    flow = 12 * np.sqrt(pressure) + rng.normal(0, 1, count)
    vibration = 1.2 + 0.02 * flow + rng.gamma(2, 0.1, count)
    temperature = 35 + 2 * pressure + heat + rng.normal(0, 1.5, count)
    failed = rng.random(count) < failures
    flow[failed] *= rng.uniform(0.7, 0.95, failed.sum())
    vibration[failed] += rng.gamma(2, 0.25, failed.sum())
    return pd.DataFrame(
        {
            "time": pd.date_range(start, periods=count, freq="h"),
            "station": [f"P{number:02d}" for number in rng.integers(1, 13, count)],
            "mode": mode,
            "pressure": pressure.round(2),
            "flow": flow.round(1),
            "vibration": vibration.round(2),
            "temperature": temperature.round(1),
            "state": np.where(failed, "failure", np.where(rng.random(count) < 0.05, "test", "ok")),
        }
    )


def main(folder: Path) -> None:
    """Write the three tables and the contract."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    hours(3_000, "2026-01-01", rng, 0.02).to_csv(folder / "pumps.csv", index=False)
    today = hours(200, "2026-05-06", rng, 0.025).drop(columns="state")
    today.to_csv(folder / "today.csv", index=False)
    summer = hours(400, "2026-07-01", rng, 0.02, heat=4).drop(columns="state")
    summer.to_csv(folder / "summer.csv", index=False)
    contract = Path(__file__).with_name("pumps.yaml").read_text(encoding="utf-8")
    here = json.dumps(str((folder / "pumps.csv").resolve()), ensure_ascii=False)
    absolute = f"file: {here}\n  confined: false  # the path is absolute"
    placed = contract.replace(IN_THE_DATA_FOLDER, absolute)
    (folder / "edited.yaml").write_text(placed, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
