"""A new threshold: a version of its own, sealed, judged, whatever happens on the way."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dagmm_model.detectors.file_format import load_bundle
from dagmm_model.evaluation.threshold import calibrate, exceeds
from flows.common.errors import UsageError, Verdict
from flows.promotion import audit
from flows.promotion.approval import approve
from flows.promotion.gates.table import GATES
from flows.promotion.promote import promote
from flows.promotion.version import evidence
from flows.promotion.version.stored_version import fetch_version
from flows.review.threshold import change as review
from flows.stages.workspace import sha256_of
from flows.tracking import registry, seal
from tests.flows import promotion_store as made
from tests.flows.conftest import moved_into, production

NAME = made.NAME
RATE = 0.02


def change(store, reference=NAME, rate=RATE, **options):
    settings, client = store
    return review.change_threshold(client, settings, reference, rate, **{"by": "me"} | options)


def versions(client) -> list[int]:
    return sorted(int(v.version) for v in client.search_model_versions(f"name='{NAME}'"))


def stored(client, version: int, folder: Path):
    return fetch_version(client, registry.find_version(client, NAME, version), folder)


@pytest.fixture
def changed(store, served_home, home_of):
    """What changing the threshold of version 1 gave; done once for the session."""

    def fill(client, settings) -> None:
        moved_into(settings, served_home)
        actual = change((settings, client))
        (settings.home / "change.pickle").write_bytes(pickle.dumps(actual))

    made = home_of("changed", fill)
    moved_into(store[0], made)
    return pickle.loads((made / "change.pickle").read_bytes())


def test_the_new_version_differs_in_its_threshold_only(store, changed, tmp_path):
    client = store[1]
    old, new = (stored(client, v, tmp_path / str(v)) for v in (changed.source, changed.version))
    assert sha256_of(old.model / seal.BUNDLE / "detector") == sha256_of(
        new.model / seal.BUNDLE / "detector"
    )
    before, after = (load_bundle(each.model / seal.BUNDLE) for each in (old, new))
    assert before.encoder.to_dict() == after.encoder.to_dict()
    assert (before.calibration == after.calibration).all()
    assert after.threshold == calibrate(before.calibration, RATE)
    assert after.threshold.value > before.threshold.value
    code = [each.model / "code" for each in (old, new)]
    assert sha256_of(code[0], {"__pycache__"}) == sha256_of(code[1], {"__pycache__"})
    assert new.evidence["created"] == old.evidence["created"], "the evaluation ages on"


def test_it_is_sealed_judged_and_in_production(store, changed, tmp_path):
    client = store[1]
    assert changed.promotion.decision == "promoted"
    assert production(client) == changed.version == changed.source + 1
    assert [d.decision for d in audit.history(client, NAME)] == ["promoted", "promoted"]
    new = stored(client, changed.version, tmp_path)
    assert new.problems() == ()
    assert new.evidence["requested_by"] == "me"
    table = pq.read_table(new.files / evidence.ENERGIES)
    flags = exceeds(table.column("energy").to_numpy(), changed.threshold.value)
    assert (table.column("is_anomaly").to_numpy() == flags).all()
    recorded = new.evidence["evaluate"]["deployment"]
    assert recorded["alert_rate"] == pytest.approx(flags.mean())
    assert recorded["alert_rate"] < changed.then.deployment.alert_rate
    run = client.get_run(registry.find_version(client, NAME, changed.version).run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["threshold"] == pytest.approx(changed.threshold.value, rel=1e-5)
    assert run.data.tags["dagmm.threshold_of"] == f"{NAME}/{changed.source}"


def gates(record) -> dict:
    return {result.gate: result for result in record.gates}


def test_what_a_threshold_cannot_change_is_carried_over_from_production(store, changed):
    actual = gates(changed.promotion)
    assert set(actual) >= {gate.name for gate in GATES} - {"alert rate"}
    for name in ("mixture health", "ROC AUC floor", "not beaten by simple detectors"):
        assert actual[name].note.startswith(f"as judged for version {changed.source}"), name
    assert "has the same detector" in actual["not worse than production"].note
    for name in ("deployable threshold", "guaranteed false-alarm rate", "false-alarm rate"):
        assert "as judged" not in actual[name].message, name
        assert actual[name].measured
    again = gates(change(store, rate=0.1).promotion)
    assert again["mixture health"].note == actual["mixture health"].note


def test_an_override_stays_seen(store, new, parts):
    settings, client = store
    asked = made.QUICK.model_copy(update={"min_roc_auc": 1.0}).model_dump(mode="json")
    version = new(config=parts.document["config"] | {"promotion": asked})
    assert promote(client, settings, NAME, version, by="t").decision == "rejected"
    promote(client, settings, NAME, version, by="t", overrides={"ROC AUC floor": "once"})
    carried = gates(change(store).promotion)["ROC AUC floor"]
    assert carried.verdict == "overridden"
    assert carried.overridden == "t: once"


def test_everything_is_judged_for_a_version_that_is_not_in_production(store, served, new):
    other = new()
    actual = change(store, f"{NAME}/{other}").promotion
    assert actual.decision == "promoted"
    assert not [result for result in actual.gates if "as judged" in result.message]


def test_a_version_that_only_says_it_has_the_same_detector_is_judged(
    store, served, parts, tmp_path
):
    settings, client = store
    source = registry.find_version(client, NAME, served)
    claim = {"version": served, "evidence_sha256": source.tags[seal.EVIDENCE_TAG]}
    other = shutil.copytree(parts.model, tmp_path / "other")
    with (other / "code" / "dagmm_model" / "__init__.py").open("a") as code:
        code.write("# another detector, for all that anybody knows\n")
    config = parts.document["config"] | {"promotion": made.QUICK.model_dump(mode="json")}
    claiming = replace(parts, model=other)
    version = made.register(
        client, claiming, tmp_path / "claims", config=config, threshold_of=claim
    )
    actual = promote(client, settings, NAME, version, by="t")
    assert not [result for result in actual.gates if "as judged" in result.message]


def test_repeating_it_adds_nothing(store, changed):
    runs = len(client_runs(store[1]))
    for reference in (NAME, f"{NAME}/{changed.source}", f"{NAME}@production"):
        again = change(store, reference)
        assert again.version == changed.version
    assert versions(store[1]) == [changed.source, changed.version]
    assert len(client_runs(store[1])) == runs


def client_runs(client):
    experiments = [e.experiment_id for e in client.search_experiments() if "wdbc" in e.name]
    return client.search_runs(experiments, "tags.`dagmm.threshold_of` != ''")


def test_what_the_rows_cannot_guarantee_is_refused_with_how_many_would(store, served):
    with pytest.raises(UsageError, match=r"72 calibration rows.*99 rows would.*0\.0137") as message:
        change(store, rate=0.01)
    smallest = float(str(message.value).rpartition(" ")[2])
    assert versions(store[1]) == [served]
    assert client_runs(store[1]) == []
    assert change(store, rate=smallest, rehearse=True).threshold.target_rate == smallest


def test_a_rehearsal_changes_nothing(store, served):
    seen = change(store, rehearse=True)
    assert seen.now.deployment.alert_rate < seen.then.deployment.alert_rate
    assert seen.version is None
    assert versions(store[1]) == [served]
    assert client_runs(store[1]) == []


def test_the_detector_of_a_changed_version_is_not_used(store, served):
    client = store[1]
    source = registry.find_version(client, NAME, served).source
    file = Path(source.removeprefix("file://")) / seal.BUNDLE / "calibration.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Verdict, match="not as registered"):
        change(store)
    assert versions(client) == [served]


def test_a_threshold_with_test_labels_gives_no_guarantee(store, new, parts):
    calibrated = parts.document["calibrate"] | {"deployable": False}
    version = new(calibrate=calibrated)
    with pytest.raises(UsageError, match="test labels"):
        change(store, f"{NAME}/{version}")


def test_it_waits_for_approval_where_the_policy_asks_for_it(store, new, parts):
    settings, client = store
    asked = made.QUICK.model_copy(update={"approvals": 1}).model_dump(mode="json")
    version = new(config=parts.document["config"] | {"promotion": asked})
    approve(client, NAME, version, "boss", "fine", approved=True)
    promote(client, settings, NAME, version, by="trainer")
    assert production(client) == version
    waiting = change(store)
    assert waiting.promotion.decision == "pending approval"
    approve(client, NAME, waiting.version, "me", "mine", approved=True)  # who asked cannot approve
    assert change(store, by="somebody else").promotion.decision == "pending approval"
    assert production(client) == version
    approve(client, NAME, waiting.version, "boss", "fewer alerts", approved=True)
    assert change(store).promotion.decision == "promoted"
    assert production(client) == waiting.version


def test_the_command_takes_a_number_of_alerts(store, served, dagmm):
    run = dagmm("threshold", NAME, "--alerts", 20, "--per", "1d", "--rows-per", "1d", 1000)
    assert run.code == 0, run.err
    assert "Promotion  promoted" in run.out
    message = dagmm("threshold", f"{NAME}/{served}", "--false-alarm-rate", RATE, "--json").json
    assert message["version"] == served + 1
    assert message["threshold"]["target_rate"] == RATE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--alerts", "5"), "--rows-per"),
        (("--false-alarm-rate", "0.001"), "999 rows would"),
        (("--alerts", "5", "--rows-per", "1x", "9"), "period '1x'"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(store, served, dagmm, arguments, words):
    run = dagmm("threshold", NAME, *arguments)
    assert run.code == 2
    error = [line for line in run.err.splitlines() if not line.startswith("  ")]  # progress
    assert len(error) == 1
    assert words in error[0]
    assert versions(store[1]) == [served]


def test_without_a_budget_there_is_a_table_to_choose_from(store, served, dagmm):
    run = dagmm("threshold", NAME, "--rows-per", "1d", 5000)
    assert run.code == 0, run.err
    assert "per 1d of 5,000 normal rows" in run.out
    lines = dagmm("threshold", NAME, "--json").json
    assert lines[0]["rate"] == pytest.approx(1 / 73)
    assert {line["rate"] for line in lines} >= {0.02, 0.05, 0.1}
    assert versions(store[1]) == [served]
    least = run.out.split("precision")[1].split()[0]  # as it is shown, it can be typed in
    actual = change(store, rate=float(least), rehearse=True)
    assert actual.threshold.value == lines[0]["threshold"]


def test_an_absent_server_is_said(dagmm, monkeypatch):
    from flows.services.servers import free_port

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = dagmm("threshold", NAME, "--false-alarm-rate", "0.05")
    assert run.code == 3
    assert "does not answer" in run.err
