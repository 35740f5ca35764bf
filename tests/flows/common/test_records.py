"""What the stages' records say."""

import pytest

from flows.stages.records import FitRecord


def fitted(**others) -> FitRecord:
    values = {"detector": "d", "sha256": "0" * 64, "device": "cpu", "epochs": 30, "health": {}}
    return FitRecord(**values, settings={}, **others)


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        (
            {"first_epoch": {"total": 20.66, "penalty": 3}, "last_epoch": {"total": 4.5}},
            "30 epochs on cpu, total 20.66 → 4.5",
        ),
        ({"last_epoch": {"total": 4.5}}, "30 epochs on cpu, total 4.5"),  # of an older version
        ({"last_epoch": {}}, "fitted on cpu"),
    ],
)
def test_a_training_says_what_it_made_of_the_objective(epochs, message):
    assert fitted(**epochs).summary() == message
