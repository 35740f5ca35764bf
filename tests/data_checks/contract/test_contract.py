from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from data_checks.base.errors import ContractError
from data_checks.contract.model import (
    Contract,
    contract_json_schema,
    load_contract,
    shipped_contracts,
)
from data_checks.contract.source_settings import has_credentials
from tests.data_checks.conftest import COLUMNS, small_contract


def write(folder: Path, contract: Contract | dict) -> Path:
    data = contract if isinstance(contract, dict) else contract.model_dump(mode="json")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def test_the_five_data_sets_are_shipped() -> None:
    assert shipped_contracts() == ("arrhythmia", "kddcup", "kddcup_rev", "thyroid", "wdbc")


@pytest.mark.parametrize(
    ("name", "columns", "width"),
    [
        ("wdbc", 30, 30),
        ("thyroid", 6, 6),
        ("arrhythmia", 274, 274),
        ("kddcup", 41, 120),
        ("kddcup_rev", 41, 120),
    ],
)
def test_widths_are_those_of_the_paper(name: str, columns: int, width: int) -> None:
    contract = load_contract(name)
    assert len(contract.feature_columns) == columns
    assert contract.encoded_width == width
    numeric = sum(column.type == "numeric" for column in contract.columns)
    if name.startswith("kddcup"):
        assert (numeric, width - numeric) == (34, 86)


def test_kddcup_and_its_reverse_swap_normal_and_anomalous() -> None:
    forward, backward = load_contract("kddcup"), load_contract("kddcup_rev")
    assert forward.label is not None
    assert backward.label is not None
    assert forward.label.anomalous == backward.label.normal == ("normal.",)
    assert set(forward.label.normal) == set(backward.label.anomalous)
    assert len(forward.label.normal) == 22


def test_a_contract_survives_writing_and_reading(tmp_path: Path) -> None:
    contract = small_contract()
    again = load_contract(write(tmp_path, contract))
    assert again == contract
    assert again.digest == contract.digest


def test_the_digest_tells_contracts_apart() -> None:
    assert small_contract().digest != small_contract(max_quarantine_share=0.1).digest


@pytest.mark.parametrize("name", ["arrhythmia", "kddcup", "kddcup_rev", "thyroid", "wdbc"])
def test_the_json_schema_accepts_the_shipped_files(name: str) -> None:
    path = Path(load_contract.__code__.co_filename).parents[1] / "contracts" / f"{name}.yaml"
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), contract_json_schema())


def test_the_json_schema_refuses_an_unknown_key() -> None:
    data = small_contract().model_dump(mode="json")
    data["colums"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, contract_json_schema())


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(ContractError, match="Did you mean 'thyroid'"):
        load_contract("tyroid")


def column(**changes: object) -> dict:
    return {"columns": [COLUMNS[1], {"name": "x", "type": "numeric", **changes}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, ["'colour'", "unknown key"]),
        ({"columns": []}, ["nothing to learn"]),
        (column(type="float"), ["columns[1].type", "line"]),
        (column(minimum=2, maximum=1), ["'x'", "exceeds"]),
        (column(type="categorical"), ["'x'", "vocabulary"]),
        (column(type="categorical", vocabulary=["a", "a"]), ["'x'", "twice"]),
        (column(type="categorical", vocabulary=[True]), ["columns[1].vocabulary[0]", "quotes"]),
        (column(type="categorical", vocabulary=["a"], drop_levels=["b"]), ["drop_levels"]),
        (column(vocabulary=["a"]), ["for categorical columns"]),
        (column(nullable=True), ["'x'", "impute"]),
        (column(impute="median"), ["nullable"]),
        (column(nullable=True, impute="constant"), ["impute_value"]),
        (column(nullable=True, impute="constant", impute_value="red"), ["not a number"]),
        (column(name="row_id"), ["reserved"]),
        (column(name="__x"), ["reserved"]),
        (column(name=" x"), ["spaces"]),
        (column(name="amount"), ["named twice", "amount"]),
        (column(minimum=float("inf")), ["columns[1].minimum"]),
        ({"label": {"column": "l", "normal": "*", "anomalous": "*"}}, ["label", "both"]),
        ({"label": {"column": "l", "normal": ["a"], "anomalous": ["a"]}}, ["both", "a"]),
        ({"label": {"column": "l", "normal": [], "anomalous": ["a"]}}, ["normal"]),
        ({"rules": [{"name": "r", "check": "amount <"}]}, ["rules[0]", "parsed"]),
        ({"rules": [{"name": "r", "check": "nothing > 1"}]}, ["'r'", "nothing"]),
        ({"split": {"train": 0.9}}, ["split", "sum to 1"]),
        ({"slice_column": "nowhere"}, ["slice_column", "nowhere"]),
        ({"anomaly_ratio": 1.5}, ["anomaly_ratio"]),
        ({"source": {"kind": "excel"}}, ["source"]),
        ({"source": {"kind": "csv", "sha256": "abc"}}, ["source.sha256"]),
        ({"source": {"kind": "sql", "query": "q", "url": "postgresql://u:p@h/d"}}, ["password"]),
        ({"source": {"kind": "sql", "query": "q"}}, ["url"]),
        ({"rows": {"minimum": 5, "maximum": 1}}, ["rows"]),
    ],
)
def test_errors_name_file_key_and_line(tmp_path: Path, changes: dict, words: list[str]) -> None:
    data = {**small_contract().model_dump(mode="json"), "rules": [], **changes}
    path = write(tmp_path, data)
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "line " in message
    for word in words:
        assert word in message
    assert "\n" not in message


def test_a_password_in_a_contract_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    source = {"kind": "sql", "query": "q", "url": "postgresql://u:s3cret@h/d"}
    path = write(tmp_path, {**small_contract().model_dump(mode="json"), "source": source})
    with pytest.raises(ContractError) as caught:
        load_contract(path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/d", True),
        ("postgresql://u@h/d", False),
        ("postgresql://h/d?password=x", True),
        ("sqlite:////tmp/a@b:c.db", False),
        ("postgresql://h:5432/d", False),
    ],
)
def test_credentials_are_found(url: str, expected: bool) -> None:
    assert has_credentials(url) is expected


def test_in_another_process_a_contract_has_the_same_digest_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, data_checks.contract.model as c; print(c.load_contract('kddcup').digest);"
        "print([m for m in ('pandas', 'pyarrow', 'great_expectations', 'torch', 'sklearn',"
        " 'numpy', 'mlflow', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [load_contract("kddcup").digest, "[]", ""]
    assert json.dumps(load_contract("kddcup").model_dump(mode="json"))


def test_the_example_in_the_documentation_is_a_contract() -> None:
    text = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0].replace("3b5d...", "a" * 64)
    contract = Contract.model_validate(yaml.safe_load(example))
    assert contract.encoded_width == 3 + 3 + 1
