"""Any text gives a name that MLflow takes, and no two texts the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name, _validate_tag_name

from flows.tracking.names import tracking_name

HARD = [
    "In/",
    "Out/",
    "/In",
    "a//b",
    ".",
    "..",
    "../x",
    "a/./b",
    "a (mm)",
    "a [mm]",
    "",
    "ä²",
    "x\ny",
]


@pytest.mark.parametrize("column", HARD)
def test_hard_column_names_are_taken(column):
    name = tracking_name(f"psi/{column}")
    _validate_metric_name(name)
    _validate_tag_name(name)
    assert len(name) <= MAX_ENTITY_KEY_LENGTH


def test_what_mlflow_takes_stays_as_it_is():
    for name in ("psi/mean radius", "alerts/rate", "gate/data verdict", "psi/a:b"):
        assert tracking_name(name) == name


@given(st.lists(st.text(max_size=300), unique=True, max_size=8))
def test_every_text_has_a_valid_name_of_its_own(texts):
    names = [tracking_name(f"psi/{text}") for text in texts]
    for name in names:
        _validate_metric_name(name)
        assert len(name) <= MAX_ENTITY_KEY_LENGTH
    assert len(set(names)) == len(texts)
