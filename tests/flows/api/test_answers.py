"""Verdicts over HTTP are those of `dagmm score`, in both forms, with the version's name on them."""

import json

import numpy as np
import pandas as pd
import pytest

from flows.scoring.run import score
from tests.flows.api.conftest import NAME, make_shared, split

JSON = {"Content-Type": "application/json"}


def test_both_endpoints_say_what_a_scored_file_says(ready, tmp_path):
    frame = pd.DataFrame(ready.rows())
    frame.to_csv(tmp_path / "rows.csv", index=False)
    score(str(tmp_path / "rows.csv"), str(tmp_path / "out.csv"), NAME, ready.settings)
    expected = pd.read_csv(tmp_path / "out.csv")
    text = (tmp_path / "rows.csv").read_bytes()
    for content, kind in (
        (json.dumps(ready.rows()), "application/json"),
        (text, "text/csv"),
        (split(list(frame.columns), frame.to_numpy().tolist()), "application/json"),
    ):
        answer = ready.http.post("/score", content=content, headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text
        message = answer.json()
        assert (message["model"], message["version"]) == (f"models:/{NAME}/2", 2)
        assert answer.headers["X-Dagmm-Model"] == f"models:/{NAME}/2"
        assert message["threshold"] == pytest.approx(expected["threshold"][0])
        rows = pd.DataFrame(message["rows"])
        for name in ("energy", "p_value"):
            np.testing.assert_allclose(rows[name], expected[name], rtol=1e-9)
        assert rows["is_anomaly"].tolist() == expected["is_anomaly"].tolist()
        texts = [
            "; ".join(f"{r['column']} {round(100 * r['share'])}%" for r in reasons)
            if reasons
            else None
            for reasons in rows["reasons"]
        ]
        assert texts == [None if text != text else text for text in expected["reasons"]]
        assert any(texts)
        answer = ready.http.post("/invocations", content=content, headers={"Content-Type": kind})
        actual = pd.DataFrame(answer.json()["predictions"])
        np.testing.assert_allclose(actual["energy"], expected["energy"], rtol=1e-9)
        assert list(actual.columns) == ["energy", "p_value", "is_anomaly", "threshold"]
        assert answer.json()["model"] == f"models:/{NAME}/2"


def test_mlflows_own_client_reads_the_answer(ready):
    from mlflow.deployments import PredictionsResponse

    answer = ready.http.post("/invocations", json={"dataframe_records": ready.rows()})
    frame = PredictionsResponse.from_json(answer.text).get_predictions()
    assert len(frame) == len(ready.rows())


def test_reasons_are_given_for_whom_they_are_asked(ready):
    def reasons(asked):
        answer = ready.http.post("/score", json=ready.rows(), params={"reasons": asked})
        return [row["reasons"] for row in answer.json()["rows"]]

    assert all(actual is None for actual in reasons("none"))
    assert all(1 <= len(actual) <= 3 for actual in reasons("all"))
    assert max(len(actual) for actual in reasons("1") if actual) == 1
    answer = ready.http.post("/score", json=ready.rows(), params={"reasons": "some"})
    assert answer.status_code == 400
    assert "give a number of columns" in answer.json()["message"]


def changed(rows, **values):
    return [{**rows[0]}, {**rows[1], **values}]


REFUSED = [
    ({"mean radius": "many"}, "row 1, column 'mean radius': 'many' is not a number"),
    ({"mean radius": None}, "row 1, column 'mean radius': missing value"),
    ({"mean radius": float("nan")}, "row 1, column 'mean radius': missing value"),
    ({"mean radius": float("inf")}, "row 1, column 'mean radius': inf is not a finite 32-bit"),
    ({"mean radius": 10**40}, "row 1, column 'mean radius': 1e+40 is not a finite 32-bit"),
    ({"mean radius": 10**400}, "row 1, column 'mean radius': inf is not a finite 32-bit"),
    ({"mean radius": [1, [2]]}, "row 1, column 'mean radius': '[1, [2]]' is not a number"),
    ({"mean radius": {"a": {}}}, "row 1, column 'mean radius': \"{'a': {}}\" is not a number"),
    ({"mean radius": "9" * 4000}, "row 1, column 'mean radius': inf is not a finite"),
]


@pytest.fixture(scope="module")
def shared(store_with_two_versions):
    api = make_shared(store_with_two_versions)
    return api.http, api.rows()


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_row_that_cannot_be_scored_is_one_sentence_and_400(shared, values, message):
    http, rows = shared
    body = json.dumps({"instances": changed(rows, **values)})
    for endpoint in ("/score", "/invocations"):
        answer = http.post(endpoint, content=body, headers=JSON)
        assert answer.status_code == 400, answer.text
        refused = answer.json()
        assert refused["error_code"] == "INVALID_PARAMETER_VALUE"
        assert refused["message"].startswith(message)
        assert [row["row"] for row in refused["rejected"]] == [1]


def test_a_missing_column_is_named(ready):
    rows = [{k: v for k, v in row.items() if k != "mean area"} for row in ready.rows()]
    answer = ready.http.post("/score", json=rows)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the request: missing column 'mean area'")


def test_a_value_out_of_its_range_is_scored_and_marked(ready):
    (row,) = ready.http.post("/score", json=[{**ready.rows()[0], "mean radius": 1e9}]).json()[
        "rows"
    ]
    assert "mean radius" in row["remarks"]
    assert row["is_anomaly"]


def test_openapi_is_the_contracts_and_its_example_works(ready):
    actual = ready.http.get("/openapi.json").json()
    row = actual["components"]["schemas"]["Row"]
    assert list(row["properties"]) == list(ready.rows()[0])
    assert row["required"] == list(ready.rows()[0])
    assert actual["info"]["version"] == "2"
    for path in ("/score", "/invocations"):
        example = actual["paths"][path]["post"]["requestBody"]["content"]["application/json"][
            "example"
        ]
        assert ready.http.post(path, json=example).status_code == 200
    refs = {
        part.partition('"')[0] for part in json.dumps(actual).split('"#/components/schemas/')[1:]
    }
    assert refs <= set(actual["components"]["schemas"])


def test_another_method_or_path_is_refused_as_http_has_it(ready):
    assert ready.http.get("/score").status_code == 405
    assert ready.http.post("/nowhere").status_code == 404
