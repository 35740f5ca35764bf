"""The training loop: what it leaves alone, what it refuses, and how it ends."""

import copy

import numpy as np
import pytest
import torch

from dagmm_model.base.checkpoint import Checkpointing, CheckpointMismatch
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.training.autograd import TrainingSettings, Work, train_networks
from dagmm_model.training.blocks import adam_of, dense, descend
from dagmm_model.training.epochs import Execution, TrainingDiverged
from tests.dagmm_model.detectors.baselines.tables import plane, quick

ROWS = plane()[0].astype(np.float32)


def line(seen=None):
    """Work that learns one linear layer, and notes its weights after every step."""
    network = dense(ROWS.shape[1], 1)
    optimiser = adam_of([network], 1e-2)

    def step(rows, epoch):
        loss = (network(rows + 0.1 * torch.randn_like(rows)) - rows[:, :1]).square().mean()
        descend(optimiser, loss)
        if seen is not None:
            seen.append(network.weight.detach().clone().numpy())
        return {"loss": loss}

    return Work(network, {"adam": optimiser}, step)


def run(work=line, **kwargs):
    settings = TrainingSettings(epochs=3, batch_size=64, **kwargs.pop("settings", {}))
    return train_networks(work, ROWS, settings, 0, Execution(**kwargs), name="line", epochs=3)


def test_it_leaves_torchs_generator_and_threads_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    try:
        run()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (torch.rand(3) == expected).all()


def test_what_an_observer_draws_changes_nothing():
    plain, *_ = run()
    noisy, *_ = run(observers=[lambda record: torch.rand(7)])
    assert all((plain[name] == noisy[name]).all() for name in plain)


def test_the_average_is_the_mean_first_and_then_follows():
    seen = []
    arrays, *_ = run(lambda: line(seen), settings={"average": 0.9})
    expected = np.zeros_like(seen[0])
    for number, weight in enumerate(seen, start=1):
        expected += max(0.1, 1.0 / number) * (weight - expected)
    np.testing.assert_allclose(arrays["weight"], expected, rtol=1e-5)
    last, *_ = run()
    np.testing.assert_array_equal(last["weight"], seen[-1])


def test_an_interruption_within_an_epoch_changes_nothing(tmp_path):
    expected, *_ = run()
    for stop in (1, 3, 6):
        seen = []

        def interrupted(seen=seen, stop=stop):
            work = line(seen)

            def step(rows, epoch):
                if len(seen) == stop:
                    raise KeyboardInterrupt
                return work.step(rows, epoch)

            return Work(work.networks, work.optimisers, step)

        with pytest.raises(KeyboardInterrupt):
            run(interrupted, checkpoint=Checkpointing(tmp_path, 0.0))
    got, history, _ = run(checkpoint=Checkpointing(tmp_path, 0.0))
    assert len(history) == 3
    assert all((got[name] == expected[name]).all() for name in expected)


def test_a_finished_run_ends_at_once(tmp_path):
    first, history, _ = run(checkpoint=Checkpointing(tmp_path))
    seen = []
    second, again, _ = run(checkpoint=Checkpointing(tmp_path), observers=[seen.append])
    assert seen == []
    assert again == history
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize(
    ("name", "settings", "seed", "message"),
    [
        ("dsebm-r", {}, 0, "detector is 'dsebm-e' there"),
        ("dsebm-e", {"noise": 0.5}, 0, "settings.noise is 0.3 there and 0.5 here"),
        ("dsebm-e", {}, 1, "seed is 0 there"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, name, settings, seed, message):
    place = Checkpointing(tmp_path)
    make_detector("dsebm-e", **quick("dsebm-e", epochs=1)).fit(ROWS, checkpoint=place)
    other = make_detector(name, seed=seed, **quick(name, **{"epochs": 1, **settings}))
    with pytest.raises(CheckpointMismatch, match=message):
        other.fit(ROWS, checkpoint=place)


def test_a_loss_that_is_not_finite_ends_the_training_with_its_name():
    detector = make_detector("dcn", **quick("dcn") | {"learning_rate": 1e30})
    with pytest.raises(TrainingDiverged, match=r"epoch 1, batch \d: the .* is not finite; .*") as e:
        detector.fit(ROWS)
    assert "learning_rate" in str(e.value)
    assert copy.copy(e.value).term == e.value.term
