"""One table with every type of column, scored through every door: the same energies and refusals.

The doors are `dagmm score` on CSV and on Parquet, the model loaded in Python, and MLflow's server
with each form of request.
"""

import json
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

from dagmm_model.detectors.bundle import ScoringBundle
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.detectors.file_format import save_bundle
from dagmm_model.evaluation.threshold import calibrate
from data_checks.contract.model import Contract
from data_checks.rows.casting import cast_batch
from flows.common.features import as_frame, encoder_for, model_input
from flows.common.settings import Settings
from flows.promotion.version import evidence
from flows.scoring.run import score
from flows.tracking import packaging, registry, seal, tracking

NAME = "dagmm-doors"
COLUMNS = [
    {"name": "pressure", "type": "numeric", "minimum": 0, "maximum": 100},
    {"name": "starts", "type": "numeric"},
    {"name": "flow", "type": "numeric", "nullable": True, "impute": "median"},
    {"name": "mode", "type": "categorical", "vocabulary": ["low", "high"]},
    {"name": "code", "type": "categorical", "vocabulary": ["007", "012", "100"]},
    {
        "name": "site",
        "type": "categorical",
        "vocabulary": ["north", "south", "none"],
        "nullable": True,
        "impute": "constant",
        "impute_value": "none",
    },
    {"name": "valve", "type": "boolean"},
    {
        "name": "alarm",
        "type": "boolean",
        "nullable": True,
        "impute": "constant",
        "impute_value": 0,
    },
    {"name": "serial", "type": "identifier"},
    {"name": "at", "type": "timestamp"},
    {"name": "comment", "type": "ignored"},
]
CONTRACT = Contract.model_validate(
    {"name": "doors", "source": {"kind": "csv", "file": "doors.csv"}, "columns": COLUMNS}
)
FEATURES = [column.name for column in CONTRACT.feature_columns]


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    flow = rng.normal(4, 1, rows).round(3)
    flow[::5] = np.nan
    return pd.DataFrame(
        {
            "pressure": rng.normal(50, 9, rows).round(3),
            "starts": rng.integers(0, 9, rows),
            "flow": flow,
            "mode": rng.choice(["low", "high"], rows),
            "code": rng.choice(["007", "012", "100"], rows),
            "site": pd.Series(rng.choice(["north", "south"], rows)).mask(np.arange(rows) % 4 == 0),
            "valve": rng.random(rows) < 0.5,
            "alarm": pd.array(rng.random(rows) < 0.5, "boolean"),
            "serial": [f"s{i}" for i in range(rows)],
            "at": pd.date_range("2026-01-01", periods=rows, freq="h"),
            "comment": "free text, with a comma",
        }
    ).assign(alarm=lambda f: f.alarm.mask(np.arange(rows) % 6 == 0))


@pytest.fixture(scope="module")
def model(empty_store, tmp_path_factory):
    """A registered model of that contract; its settings, and the server that MLflow makes of it."""
    folder = tmp_path_factory.mktemp("doors")
    home = folder / "mlruns"
    home.mkdir()
    (home / "mlflow.db").write_bytes(empty_store.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGMM_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        settings = Settings()
        client = tracking.connect(settings)
        typed = cast_batch(pa.Table.from_pandas(table(300, 0)), CONTRACT, 0)
        encoder = encoder_for(CONTRACT, typed)
        matrix = encoder.encode(as_frame(typed))
        detector = make_detector("dagmm", "recommended", 0, epochs=2, members=1).fit(matrix)
        energies = np.sort(detector.energy(matrix))
        bundle = folder / "bundle"
        save_bundle(ScoringBundle(encoder, detector, calibrate(energies), energies), bundle)
        (bundle / "contract.json").write_text(CONTRACT.model_dump_json())
        experiment = tracking.experiment_id(client, settings, "doors")
        run = client.create_run(experiment).info.run_id
        example = model_input(typed.slice(0, 5), CONTRACT)
        logged = packaging.log_model(bundle, CONTRACT, example, run)
        stored = seal.fetch(client, logged.model_uri, folder / "stored")
        text, sha256 = evidence.seal({}, stored, folder, run, logged.model_id)
        client.log_text(run, text, seal.EVIDENCE)
        tags = {seal.EVIDENCE_TAG: sha256}
        registry.register_version(client, NAME, logged.model_uri, logged.model_id, run, tags)
        loaded = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
        yield settings, loaded, TestClient(scoring_server.init(loaded))


@pytest.fixture
def python(model):
    return model[1].predict


@pytest.fixture
def server(model):
    return model[2]


def post(server, body: dict):
    return server.post("/invocations", json=body)


def bodies(frame: pd.DataFrame) -> dict[str, dict]:
    """The forms of JSON requests that MLflow knows."""
    frame = frame[FEATURES]
    records = json.loads(frame.to_json(orient="records"))
    return {
        "split": {
            "dataframe_split": {"columns": FEATURES, "data": [list(r.values()) for r in records]}
        },
        "records": {"dataframe_records": records},
        "instances": {"instances": records},
        "inputs": {"inputs": {name: [row[name] for row in records] for name in FEATURES}},
        "inputs as records": {"inputs": records},
    }


def scored(settings: Settings, frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    out = path.with_name(f"scored-{path.stem}.parquet")
    report = score(str(path), str(out), f"models:/{NAME}/1", settings)
    assert not report.failure, report.failure
    return pd.read_parquet(out)


def test_every_door_gives_the_same_energies(model, python, server, tmp_path):
    settings = model[0]
    frame = table(60, 1)
    frame.loc[3, "mode"] = "never seen"
    frame.loc[4, "pressure"] = 250.0
    expected = scored(settings, frame, tmp_path / "rows.csv")
    assert expected["remarks"].notna().tolist() == [row in (3, 4) for row in range(60)]
    energies = expected["energy"].to_numpy()

    def same(actual) -> None:
        np.testing.assert_allclose(np.asarray(actual, dtype=float), energies, rtol=1e-9)

    same(scored(settings, frame, tmp_path / "rows.parquet")["energy"])
    same(python(frame)["energy"])
    as_read = pd.read_csv(tmp_path / "rows.csv")
    assert (as_read["code"].dtype, as_read["starts"].dtype) == (np.int64, np.int64)
    same(python(as_read)["energy"])
    for name, body in bodies(frame).items():
        answer = post(server, body)
        assert answer.status_code == 200, (name, answer.text)
        same([row["energy"] for row in answer.json()["predictions"]])
        alone = post(server, next(iter(bodies(frame.iloc[[7]]).values())))
        same_row = alone.json()["predictions"][0]["energy"]
        assert same_row == pytest.approx(energies[7], rel=1e-9), name
    text = StringIO()
    frame.to_csv(text, index=False)
    answer = server.post(
        "/invocations", content=text.getvalue(), headers={"Content-Type": "text/csv"}
    )
    same([row["energy"] for row in answer.json()["predictions"]])


FORMS = [
    ("valve", lambda c: c.astype("int64")),
    ("valve", lambda c: c.astype("Int64")),
    ("valve", lambda c: c.map({True: "yes", False: "no"})),
    ("valve", lambda c: c.map({True: "TRUE", False: "f"}).astype("category")),
    ("valve", lambda c: c.astype("float64")),
    ("valve", lambda c: c.astype(object)),
    ("valve", lambda c: pd.Series([bool(v) if i % 2 else str(v) for i, v in enumerate(c)])),
    ("alarm", lambda c: c.astype("float64")),
    ("alarm", lambda c: c.map({True: "1", False: "0"}).astype("string")),
    ("starts", lambda c: c.astype("Int64")),
    ("starts", lambda c: c.astype("int8")),
    ("starts", lambda c: c.astype(str)),
    ("starts", lambda c: c.astype(object)),
    ("pressure", lambda c: c.astype(str).astype("category")),
    ("flow", lambda c: c.astype("Float64")),
    ("flow", lambda c: c.astype(object).where(c.notna(), None)),
    ("flow", lambda c: c.astype(str).where(c.notna(), "")),
    ("mode", lambda c: c.astype("category")),
    ("site", lambda c: c.astype("string")),
    ("site", lambda c: c.astype("category")),
    ("code", lambda c: c.astype("int64")),
    ("code", lambda c: c.astype("float64")),
]


@pytest.mark.parametrize(("column", "form"), FORMS)
def test_rows_as_pandas_holds_them_are_taken(python, column, form):
    frame = table(40, 2)
    expected = python(frame)["energy"]
    actual = python(frame.assign(**{column: form(frame[column])}))["energy"]
    np.testing.assert_allclose(actual, expected, rtol=1e-9)


BAD = [
    ("valve", "abc", "row 1, column 'valve': 'abc' is not a truth value; give true or false"),
    ("valve", 2, "row 1, column 'valve': '2' is not a truth value"),
    ("valve", None, "row 1, column 'valve': missing value; give a value"),
    ("valve", "", "row 1, column 'valve': missing value"),
    ("starts", "many", "row 1, column 'starts': 'many' is not a number; give a number"),
    ("starts", None, "row 1, column 'starts': missing value"),
    ("pressure", 1e39, "row 1, column 'pressure': 1e+39 is not a finite 32-bit number"),
    ("mode", None, "row 1, column 'mode': missing value"),
]


@pytest.mark.parametrize(("column", "value", "message"), BAD)
def test_what_cannot_be_read_is_one_sentence_and_400(
    model, python, server, tmp_path, column, value, message
):
    frame = table(3, 3).astype({column: object})
    frame.loc[1, column] = value
    with pytest.raises(mlflow.MlflowException) as refused:
        python(frame)
    assert refused.value.message.startswith(message)
    for name, body in bodies(frame).items():
        answer = post(server, body)
        assert answer.status_code == 400, name
        assert answer.json()["message"] == refused.value.message, name
        assert "stack_trace" not in answer.json()
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    report = score(str(path), str(tmp_path / "out.csv"), f"models:/{NAME}/1", model[0])
    assert (report.scored, report.rejected) == (2, 1)


@pytest.mark.parametrize("value", [True, "true", "yes", "1", 1, "TRUE"])
def test_truth_over_http_is_what_it_says(server, value):
    rows = bodies(table(1, 4))["records"]["dataframe_records"]

    def energy(valve) -> float:
        answer = post(server, {"dataframe_records": [{**rows[0], "valve": valve}]})
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"][0]["energy"]

    false = {energy(valve) for valve in (False, "false", "no", "0", 0, "F")}
    assert len(false) == 1
    assert energy(value) == energy(True)
    assert energy(True) not in false


def test_a_missing_column_and_rows_without_names_are_refused(server):
    rows = bodies(table(2, 5))["records"]["dataframe_records"]
    without = [{name: value for name, value in row.items() if name != "starts"} for row in rows]
    answer = post(server, {"dataframe_records": without})
    assert answer.status_code == 400
    assert "missing column 'starts'" in answer.json()["message"]
    answer = post(server, {"instances": [[1, 2], [3, 4]]})
    assert answer.status_code == 400
    assert "no column names" in answer.json()["message"]
    assert "stack_trace" not in answer.json()


def test_the_request_that_travels_with_the_model_works(model, server):
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}/1"))
    answer = server.post(
        "/invocations",
        content=(folder / "serving_input_example.json").read_bytes(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    assert [column["name"] for column in model[1].metadata.metadata["inputs"]] == FEATURES
