"""Epochs reach MLflow whole, also when the tracking server is away for a while."""

from dataclasses import dataclass

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dagmm_model.training.epochs import Epoch
from dagmm_model.training.records import EpochRecord
from flows.pipeline.fitting import epochs
from flows.pipeline.fitting.epochs import MAX_LOGGED_EPOCHS, EpochLogger


def _epoch(number: int, epochs: int) -> EpochRecord:
    return EpochRecord(
        epoch=number, epochs=epochs, total=1.0 / number, reconstruction=1.0, energy=0.5,
        penalty=2.0, validation_energy=None, phi=(0.25, 0.75), min_phi=0.25, max_condition=3.0,
        effective_components=1.7, seconds=0.01,
    )  # fmt: skip


@pytest.fixture
def run(home):
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.create_experiment("epochs", (home / "artifacts").as_uri())
    return client, client.create_run(experiment).info.run_id


def _steps(client, run_id, name="loss/total"):
    return [metric.step for metric in client.get_metric_history(run_id, name)]


def test_every_epoch_is_logged_once(run):
    client, run_id = run
    logger = EpochLogger(client, run_id)
    history = [_epoch(n, 250) for n in range(1, 251)]
    for record in history:
        logger(record)
    logger.complete(history)
    assert _steps(client, run_id) == list(range(250))
    assert _steps(client, run_id, "mixture/min_phi") == list(range(250))
    assert not [name for name in client.get_run(run_id).data.metrics if "phi_" in name]


def test_terms_of_any_name_are_logged_and_filled_in_by_the_first_of_an_epoch(run):
    client, run_id = run
    first = [Epoch(n, 4, {"autoencoder": 1.0 / n, "phase/layer": 1.0}, 0.1) for n in (1, 2)]
    then = [Epoch(n, 4, {"critic": 2.0, "generator": 3.0}, 0.1) for n in (3, 4)]
    logger = EpochLogger(client, run_id)
    logger(first[0])
    logger.complete([*first, *then])
    assert _steps(client, run_id, "loss/autoencoder") == [0, 1]
    assert _steps(client, run_id, "phase/layer") == [0, 1]
    assert _steps(client, run_id, "loss/generator") == [2, 3]


def test_what_an_objective_adds_up_from_is_logged_and_each_phase_begins_at_0(run):
    client, run_id = run
    weights = {"lambda_reconstruction": 2.0, "lambda_energy": 0.1, "lambda_penalty": 0.005}
    history = [Epoch(n, 5, {"layer_1": 1.0}, 0.1) for n in (1, 2)]
    history += [Epoch(3, 5, {"autoencoder": 1.0}, 0.1)]
    terms = {"total": 2.06, "reconstruction": 1.0, "energy": 0.5, "penalty": 2.0}
    history += [Epoch(n, 5, terms | {"validation_energy": 0.7}, 0.1) for n in (4, 5)]
    for _attempt in range(2):  # the second, after a crash, has nothing to add
        logger = EpochLogger(client, run_id)
        logger.plan(weights | {"epochs": 2, "autoencoder_epochs": 1})
        logger.complete(history)
    for name, steps in (("layer_1", [0, 1]), ("autoencoder", [0]), ("penalty", [0, 1])):
        assert _steps(client, run_id, f"loss/{name}") == steps
    logged = client.get_run(run_id).data.metrics
    parts = [logged[f"loss/{name}"] for name in ("reconstruction", "energy", "penalty")]
    assert sum(parts) == pytest.approx(logged["loss/total"])
    assert logged["loss/validation_energy"] == pytest.approx(0.07)


def test_long_runs_are_thinned_evenly_and_keep_their_last_epoch(run):
    client, run_id = run
    history = [_epoch(n, 20_000) for n in range(1, 20_001)]
    EpochLogger(client, run_id).complete(history)
    steps = _steps(client, run_id)
    assert len(steps) <= MAX_LOGGED_EPOCHS + 1
    assert steps[0] == 0
    assert steps[-1] == 19_999


def test_epochs_that_an_interrupted_attempt_never_sent_are_filled_in(run):
    client, run_id = run
    history = [_epoch(n, 30) for n in range(1, 31)]
    first = EpochLogger(client, run_id)
    first.complete(history[:10])
    second = EpochLogger(client, run_id)
    for record in history[5:8] + history[20:]:  # it goes on from a checkpoint before the last
        second(record)
    second.complete(history)
    assert sorted(_steps(client, run_id)) == list(range(30))


@dataclass
class _Flaky:
    """The real client behind a line that is down for the first calls."""

    client: MlflowClient
    down: int

    def log_batch(self, *args, **kwargs):
        if self.down:
            self.down -= 1
            raise MlflowException("away", error_code=503)
        return self.client.log_batch(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self.client, name)


def test_a_server_that_is_away_for_a_while_loses_nothing(run, monkeypatch):
    client, run_id = run
    monkeypatch.setattr(epochs, "FLUSH_SECONDS", 0.0)
    logger = EpochLogger(_Flaky(client, down=5), run_id)
    history = [_epoch(n, 20) for n in range(1, 21)]
    for record in history:
        logger(record)
        logger.wait()
    logger.complete(history)
    assert _steps(client, run_id) == list(range(20))


def test_a_run_that_is_gone_is_not_waited_for(run, monkeypatch):
    client, run_id = run
    monkeypatch.setattr(epochs, "FLUSH_SECONDS", 0.0)
    logger = EpochLogger(client, run_id)
    client.delete_run(run_id)
    logger(_epoch(1, 20))
    logger.wait()
    with pytest.raises(MlflowException, match="deleted"):
        logger(_epoch(2, 20))
