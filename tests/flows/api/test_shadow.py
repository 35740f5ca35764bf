"""The server's shadow: never in the answer, in the metrics and in a run."""

import json

from flows.api.telemetry.log_lines import Events, make_candidate
from flows.promotion.version import shadows
from flows.shadow.worker import ShadowWorker
from tests.flows.api.conftest import NAME, make


def served(ready, which):
    candidate = make_candidate(ready.client, ready.settings, NAME, which, Events(as_json=True))
    candidate.step()
    worker = ShadowWorker(ready.client, ready.settings, lambda: candidate.serving)
    worker.start()
    api = make(ready.settings, shadow=worker)
    api.follower.step()
    return api, worker, candidate


def test_the_answer_does_not_tell_and_the_run_does(ready):
    api, worker, _ = served(ready, "1")
    rows = api.rows()
    for endpoint in ("/score", "/invocations"):
        body = json.dumps({"dataframe_records": rows})
        headers = {"Content-Type": "application/json"}
        plain = ready.http.post(endpoint, content=body, headers=headers)
        assert api.http.post(endpoint, content=body, headers=headers).content == plain.content
    worker.stop(60)
    assert not worker.failures, worker.failure
    assert api.metric("dagmm_shadow_rows_total", version="2", candidate="1") == 2 * len(rows)
    alerts = {
        who: api.metric("dagmm_shadow_alerts_total", raised_by=who)
        for who in ("both", "version", "candidate")
    }
    assert alerts["both"] + alerts["version"] == 2 * sum(
        row["is_anomaly"] for row in ready.http.post("/score", json=rows).json()["rows"]
    )
    run = ready.client.get_run(worker.sitting.run_id)
    assert ready.client.get_experiment(run.info.experiment_id).name == shadows.SHADOWS
    assert run.data.metrics["rows"] == 2 * len(rows)


def test_without_a_candidate_it_answers_and_begins_when_there_is_one(ready, capsys):
    api, worker, candidate = served(ready, "shade")
    assert api.http.post("/score", json=api.rows()).status_code == 200
    assert candidate.serving is None
    ready.client.set_registered_model_alias(NAME, "shade", "1")
    candidate.step()
    assert api.http.post("/score", json=api.rows()).status_code == 200
    ready.client.delete_registered_model_alias(NAME, "shade")
    worker.stop(60)
    assert worker.sitting.agreement.rows == len(api.rows())
    capsys.readouterr()
    for _ in range(2):
        candidate.step()
    assert candidate.serving is None
    (told,) = capsys.readouterr().out.splitlines()
    assert json.loads(told)["event"] == "shadow"
    assert "has the alias 'shade'" in json.loads(told)["why"]
