"""The view that an experiment's page opens with."""

import pytest
from mlflow.exceptions import MlflowException

from flows.common.settings import Settings
from flows.tracking import pages
from flows.tracking.tracking import connect


@pytest.fixture
def client(home):
    return connect(Settings())


def test_of_two_processes_that_prepare_a_page_at_once_both_go_on(client, monkeypatch):
    experiment = client.get_experiment(client.create_experiment("promotions"))
    set_tag = client.set_experiment_tag

    def second(*arguments):
        set_tag(*arguments)  # the first one's
        raise MlflowException("duplicate key value violates unique constraint")

    monkeypatch.setattr(client, "set_experiment_tag", second)
    pages.prepare_experiment(client, experiment)
    assert {pages.TAG, pages.NOTE} <= client.get_experiment(experiment.experiment_id).tags.keys()


def test_what_was_not_set_is_an_error(client, monkeypatch):
    experiment = client.get_experiment(client.create_experiment("promotions"))

    def refused(*_arguments):
        raise MlflowException("the disk is full")

    monkeypatch.setattr(client, "set_experiment_tag", refused)
    with pytest.raises(MlflowException, match="full"):
        pages.prepare_experiment(client, experiment)
