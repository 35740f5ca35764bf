"""Other detectors than DAGMM go the same way: trained, registered, judged against the champion."""

import pytest

from tests.flows.conftest import production

QUICK = ("--set", "promotion.serving_check=false")


def test_a_detector_without_epochs_or_mixture_is_registered_and_says_what_does_not_apply(
    dagmm, registry
):
    outcome = dagmm("train", "wdbc", "--detector", "pca", *QUICK, "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert found["evidence"]["fit"]["epochs"] == 0
    assert found["evidence"]["fit"]["health"] == {}
    assert found["evidence"]["evaluate"]["sanity"] == []
    version = registry.get_model_version("dagmm-wdbc", "1")
    assert version.tags["dagmm.detector"] == "pca"
    assert "pca" in version.description
    assert "mixture health: not measured – not applicable: pca has no mixture" in "\n".join(
        found["promotion"]["reasons"]
    )
    run = registry.get_run(found["registration"]["run_id"])
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
