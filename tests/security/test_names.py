"""Names that reach for a folder, a query or a formula."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient

from data_checks.base.errors import ContractError
from data_checks.contract.model import Contract, load_contract, shipped_contracts
from data_checks.drafting.drafting import draft_contract
from flows.common.errors import UsageError
from flows.tracking.queries import equals
from tests.data_checks.conftest import small_contract, small_frame

BAD = (
    "../../x", "..", ".", "/tmp/x", "a/b", "a\\b", "o'brien", 'say "x"', "a\nb", "", " a", "a ",
    "-rf", ".hidden", "a:b", "a*b", "$(id)", "a;b", "a\x00b", "=1+1", "x" * 61, "<svg>", "a%2fb",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_contract_cannot_be_called_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / "contract.yaml"
    data = small_contract().model_dump(mode="json", exclude_defaults=True)
    path.write_text(yaml.safe_dump({**data, "name": name}))
    with pytest.raises(ContractError, match=r"line \d+: 'name': a name is up to 60"):
        load_contract(path)


@pytest.mark.parametrize(
    "name", [*shipped_contracts(), "Pumpen-Süd 2.1", "a", "_x", "日", "x" * 60]
)
def test_these_names_are_fine(name: str) -> None:
    assert small_contract(name=name).name == name


@pytest.mark.parametrize("file", ["../o'brien.csv", "=cmd.csv", "größe (1).csv", f"{'x' * 90}.csv"])
def test_a_draft_finds_a_name_that_is_one(tmp_path: Path, file: str) -> None:
    path = tmp_path / Path(file).name
    small_frame().to_csv(path, index=False)
    drafted = draft_contract(path).contract
    assert Contract.model_validate(drafted.model_dump()).name == drafted.name


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.mark.parametrize(
    "value", ["o'brien", 'say "x"', "x' OR name LIKE '%", "%", "a`b", "plain", "a\\'b"]
)
def test_a_value_in_a_query_is_a_value(client: MlflowClient, value: str) -> None:
    experiment = client.create_experiment(f"of {value}")
    mine = client.create_run(experiment, tags={"of": value}).info.run_id
    client.create_run(experiment, tags={"of": "another"})
    actual = client.search_runs([experiment], equals("tags.`of`", value))
    assert [run.info.run_id for run in actual] == [mine]


@pytest.mark.parametrize("value", ["both ' and \"", "two\nlines"])
def test_what_cannot_be_asked_for_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="both kinds"):
        equals("name", value)
