"""The worked examples of docs/extending.md do what the page says."""

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dagmm_model import load_detector, save_detector
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors import catalogue
from data_checks.base.errors import SourceError
from data_checks.contract.model import load_contract
from data_checks.rows.rows import check_rows
from data_checks.sources import reading, sources

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def _example(name: str) -> str:
    pattern = rf"<!-- example: {name} -->\n```(?:python|toml)\n(.*?)```"
    actual = re.search(pattern, PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert actual
    return actual[1]


def _run(name: str, **names: object) -> ModuleType:
    module = ModuleType(f"example_{name}")
    module.__dict__.update(names)
    exec(compile(_example(name), f"{PAGE.name}:{name}", "exec"), module.__dict__)
    return module


@pytest.fixture
def detector_in_catalogue(monkeypatch):
    home = "dagmm_model.detectors.baselines.median"
    module = ModuleType(home)
    monkeypatch.setitem(sys.modules, home, module)  # a dataclass looks its module up
    code = f"__name__ = {home!r}\n" + _example("detector").split('"""\n', 1)[1]
    exec(compile(code, f"{PAGE.name}:detector", "exec"), module.__dict__)
    for name, entry in tomllib.loads(_example("entry")).items():
        monkeypatch.setitem(catalogue.CATALOGUE, name, catalogue.Entry(**entry))


@pytest.mark.usefixtures("detector_in_catalogue")
def test_the_detector_finds_what_is_far_and_survives_the_disk(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 5))
    detector = catalogue.make_detector("median-distance", columns=2).fit(rows)
    assert detector.energy(rows + 20).min() > detector.energy(rows).max()
    save_detector(detector, tmp_path)
    np.testing.assert_array_equal(load_detector(tmp_path).energy(rows), detector.energy(rows))
    with pytest.raises(SettingsError, match="columns=0"):
        catalogue.make_detector("median-distance", columns=0)


def test_the_source_is_ingested_under_the_contract(tmp_path, monkeypatch):
    module = _run("source")
    table = pd.DataFrame({"mode": ["low", "high"], "pressure": [4.0, 7.5], "more": [1, 2]})
    table.to_json(tmp_path / "pumps.jsonl", orient="records", lines=True)
    (tmp_path / "pumps.yaml").write_text(
        "name: pumps\nsource: {kind: csv, file: pumps.jsonl}\ncolumns:\n"
        "  - {name: mode, type: categorical, vocabulary: [low, high]}\n"
        "  - {name: pressure, type: numeric}\n"
    )
    contract = load_contract(tmp_path / "pumps.yaml")

    def read_batches(contract, location, *, with_label=True, also=()):
        wanted = reading.columns_read(contract, with_label=with_label, also=also).wanted
        return module.read_jsonl(location, wanted)

    monkeypatch.setattr(sources, "read_batches", read_batches)
    done = sources.ingest(contract, tmp_path / "table.parquet", data_dir=tmp_path)
    kept = pd.read_parquet(done.path)
    assert kept[["mode", "pressure"]].to_dict("list") == {
        "mode": ["low", "high"],
        "pressure": [4.0, 7.5],
    }
    assert check_rows(kept, contract).scorable.all()
    assert module.JsonLinesSource(kind="jsonl", file="pumps.jsonl").confined
    (tmp_path / "broken.jsonl").write_text('{"mode": ')
    with pytest.raises(SourceError, match="not JSON Lines"):
        list(module.read_jsonl(str(tmp_path / "broken.jsonl"), ["mode"]))
    with pytest.raises(SourceError, match="'flow'"):
        list(module.read_jsonl(str(tmp_path / "pumps.jsonl"), ["flow"]))


@pytest.mark.parametrize(("rows", "passed"), [(999, False), (1_000, True)])
def test_the_gate_judges(rows, passed):
    gate = _run("gate").GATE
    case = SimpleNamespace(evidence={"split": {"train_rows": rows}})
    (result,) = gate.results(SimpleNamespace(case=case))
    assert result.gate == "enough training rows"
    assert (result.passed, result.measured) == (passed, True)
    assert f"{rows:,}" in result.message
    assert "at least 1,000" in result.message


def test_the_page_shows_what_it_was_given_and_escapes_it():
    text = _run("page").slices_page("dagmm-pumps", {"high": 0.5, "<b>low": 0.25})
    assert "&lt;b&gt;low" in text
    assert text.index("0.250") < text.index("0.500")


def test_the_places_that_the_page_names_exist():
    root = PAGE.parents[1]
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dagmm_model|data_checks|flows|tests|docs)/[\w/.]+)`", text))
    assert len(named) > 12
    assert {place for place in named if not (root / place).exists()} == set()
