"""Other detectors than DAGMM go the same way: trained, registered, judged against the champion."""

import signal
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from dagmm_model.detectors.catalogue import CATALOGUE
from tests.flows.conftest import FAST, production
from tests.waiting import until

QUICK = ("--set", "promotion.serving_check=false")


@pytest.mark.slow  # test_choose.py registers one
def test_a_detector_without_epochs_or_mixture_is_registered_and_says_what_does_not_apply(
    dagmm, registry
):
    outcome = dagmm("train", "wdbc", "--detector", "pca", *QUICK, "--json")
    assert outcome.code == 0, outcome.err
    actual = outcome.json
    assert actual["evidence"]["fit"]["epochs"] == 0
    assert actual["evidence"]["fit"]["health"] == {}
    assert actual["evidence"]["evaluate"]["sanity"] == []
    version = registry.get_model_version("dagmm-wdbc", "1")
    assert version.tags["dagmm.detector"] == "pca"
    assert "pca" in version.description
    assert "mixture health: not measured – not applicable: pca has no mixture" in "\n".join(
        actual["promotion"]["reasons"]
    )
    run = registry.get_run(actual["registration"]["run_id"])
    assert run.data.params["detector.name"] == "pca"
    assert run.data.params["resolved.components"] == "2"
    assert production(registry) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--detector", "pac"), "did you mean 'pca'"),
        (("--detector", "pca", "--set", "detector.settings.width=3"), "unknown setting 'width'"),
        (("--detector", "knn", "--set", "detector.preset=paper"), "recommended"),
    ],
)
def test_what_does_not_exist_is_named_before_anything_starts(dagmm, arguments, named):
    outcome = dagmm("train", "wdbc", *arguments)
    assert outcome.code == 2
    assert named in outcome.err
    assert "Traceback" not in outcome.err


def test_the_catalogue_is_listed(dagmm):
    listed = dagmm("detectors").out
    assert all(name in listed for name in CATALOGUE)
    actual = dagmm("detectors", "--json").json
    assert actual["oc-svm"]["source"] == CATALOGUE["oc-svm"].source


PAE = (
    *("--detector", "pae"),
    *("--set", "detector.settings.epochs=40"),
    *("--set", "detector.settings.layer_epochs=10"),
    *("--set", "detector.settings.members=1"),
)


@pytest.mark.slow
def test_an_autoencoder_challenges_the_champion_on_the_same_rows(dagmm, registry):
    champion = dagmm("train", "wdbc", *FAST, "--json")
    assert champion.code == 0, champion.err
    challenger = dagmm("train", "wdbc", *PAE, *QUICK, "--json")
    actual = challenger.json
    version = registry.get_model_version("dagmm-wdbc", "2")
    assert version.tags["dagmm.detector"] == "pae"
    gates = {gate["gate"]: gate for gate in actual["promotion"]["gates"]}
    assert gates["mixture health"]["message"] == "not applicable: pae has no mixture"
    compared = gates["not worse than production"]
    assert compared["measured"]
    assert {"name": "rows", "value": actual["evidence"]["split"]["test_rows"]}.items() <= next(
        figure for figure in compared["figures"] if figure["name"] == "rows"
    ).items()
    assert actual["promotion"]["previous"] == 1
    held_back = [gate for gate in gates.values() if not gate["passed"]]
    assert (challenger.code, production(registry)) == ((1, 1) if held_back else (0, 2))

    run = registry.get_run(actual["registration"]["run_id"])
    layers = registry.get_metric_history(run.info.run_id, "loss/layer_1")
    assert [metric.step for metric in layers] == list(range(10))
    whole = registry.get_metric_history(run.info.run_id, "loss/total")
    assert [metric.step for metric in whole] == list(range(len(whole)))
    assert "loss/energy" not in run.data.metrics
    assert run.data.params["resolved.criterion"] == "reconstruction"
    assert [row["name"] for row in actual["evidence"]["evaluate"]["sanity"]] == ["untrained"]


@pytest.mark.slow
def test_a_champion_of_another_detector_stays_unless_it_is_matched(dagmm, registry):
    assert dagmm("train", "wdbc", "--detector", "mahalanobis", *QUICK).code == 0
    assert production(registry) == 1
    weak = ("--set", "detector.settings.components=29", "--set", "promotion.simple_margin=1.0")
    outcome = dagmm("train", "wdbc", "--detector", "pca", *weak, *QUICK, "--json")
    assert outcome.code == 1
    failed = [g["gate"] for g in outcome.json["promotion"]["gates"] if not g["passed"]]
    assert "not worse than production" in failed
    assert production(registry) == 1


@pytest.mark.slow
def test_a_pre_trained_detector_killed_in_training_resumes_to_the_same_bits(
    dagmm, dagmm_process, home
):
    settings = {"members": 1, "layer_epochs": 20, "autoencoder_epochs": 20, "epochs": 10}
    chosen = [f"--set=detector.settings.{name}={value}" for name, value in settings.items()]
    slow = ("--detector", "dagmm-p", *chosen, *QUICK)
    undisturbed = dagmm("train", "wdbc", *slow, "--set", "model_name=undisturbed", "--json")
    assert undisturbed.code == 0, undisturbed.err
    runs = home / "workspace" / "runs"
    before = set(runs.glob("*"))
    process = dagmm_process("train", "wdbc", *slow, DAGMM_CHECKPOINT_SECONDS="0")
    # The second layer has begun: the first is finished and must be found again.
    reached = "checkpoints/layer_0_1/*.safetensors"
    until(lambda: any(list(new.glob(reached)) for new in set(runs.glob("*")) - before), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = dagmm("train", "wdbc", *slow, "--json")
    assert resumed.code == 0, resumed.err
    assert len(set(runs.glob("*")) - before) == 1
    theirs, ours = (
        load_file(Path(run["evidence"]["fit"]["detector"]) / "detector.safetensors")
        for run in (undisturbed.json, resumed.json)
    )
    assert all((theirs[name] == ours[name]).all() for name in theirs)


@pytest.mark.slow
def test_an_autoencoder_is_served(dagmm, registry):
    outcome = dagmm("train", "wdbc", *PAE, "--set", "promotion.simple_margin=1.0", "--json")
    gates = {gate["gate"]: gate for gate in outcome.json["promotion"]["gates"]}
    served = gates["served in a fresh process"]
    assert served["measured"]
    assert served["passed"], served["message"]
