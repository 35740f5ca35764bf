"""The paper's ablations are what the paper says: each is DAGMM but for one thing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from dagmm_model import Checkpointing
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.catalogue import make_detector
from dagmm_model.detectors.file_format import load_detector, save_detector
from dagmm_model.detectors.interface import Explaining
from dagmm_model.engines.choice import Device, make_engine
from dagmm_model.mixture.selection import mixture_by_em
from dagmm_model.networks.network import initialise
from dagmm_model.networks.objective import objective
from dagmm_model.networks.presets import resolve
from tests.dagmm_model.saved import parts

ABLATIONS = ("gmm-en", "pae", "e2e-ae", "pae-gmm-em", "pae-gmm", "dagmm-p", "dagmm-nvi",
             "dagmm-alternating")  # fmt: skip
PRETRAINED = ("pae", "pae-gmm-em", "pae-gmm", "dagmm-p")
SMALL = {"encoder_widths": [5, 2], "batch_size": 64, "learning_rate": 3e-3, "epochs": 6}
PHASES = {"layer_epochs": 4, "autoencoder_epochs": 5}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    curve = rng.uniform(-2, 2, size=(240, 1)) ** np.arange(1, 4)
    return curve @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(240, 6))


def small(name: str, seed: int = 1, **more):
    phases = PHASES if name in ("pae-gmm", "dagmm-p") else {"layer_epochs": 4}
    settings = SMALL | (phases if name in PRETRAINED else {}) | more
    return make_detector(name, "paper-thyroid", seed, **settings)


@pytest.fixture(scope="module")
def fitted(rows):
    return {name: small(name).fit(rows) for name in ABLATIONS}


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_far_row_is_anomalous_and_columns_are_named(name, rows, fitted):
    far = rows[:1] + np.array([0, 0, 60.0, 0, 0, 0])
    assert fitted[name].energy(far)[0] > np.quantile(fitted[name].energy(rows), 0.99)
    assert isinstance(fitted[name], Explaining)
    actual = fitted[name].explain(far)
    np.testing.assert_allclose(actual.shares.sum(axis=1), 1.0)
    assert (actual.component[0] == -1) == (fitted[name].health_ is None)


@pytest.mark.parametrize("name", ABLATIONS)
def test_on_disk_it_is_the_same_detector(name, rows, fitted, tmp_path):
    save_detector(fitted[name], tmp_path)
    again = load_detector(tmp_path)
    assert type(again) is type(fitted[name])
    np.testing.assert_array_equal(again.energy(rows), fitted[name].energy(rows))
    assert again.history_ == fitted[name].history_
    assert again.settings_ == fitted[name].settings_


@pytest.mark.parametrize("name", ["pae", "e2e-ae"])
def test_an_autoencoder_scores_by_its_reconstruction_error(name, rows, fitted):
    detector = fitted[name]
    errors = detector.reconstruction_error(rows)
    np.testing.assert_allclose(detector.energy(rows), errors, rtol=1e-9)
    assert detector.health_ is None
    assert detector.mixtures_ == ()
    assert list(detector.history_[-1].terms) == ["total", "reconstruction"]


def test_pre_training_reconstructs_better_and_its_epochs_are_counted_through(rows, fitted):
    seen = []
    longer = small("pae", layer_epochs=150).fit(rows, observers=[seen.append])
    assert tuple(seen) == longer.history_
    assert [epoch.epoch for epoch in seen] == list(range(1, 2 * 150 + 6 + 1))
    assert {epoch.epochs for epoch in seen} == {306}
    first, second = (
        [epoch.terms[layer] for epoch in seen if layer in epoch.terms]
        for layer in ("layer_1", "layer_2")
    )
    assert len(first) == len(second) == 150
    assert first[-1] < 0.5 * first[0]
    assert second[-1] < 0.5 * second[0]
    errors = [d.reconstruction_error(rows).mean() for d in (longer, fitted["e2e-ae"])]
    assert errors[0] < 0.5 * errors[1]


def test_the_frozen_network_is_the_pre_trained_one(rows, fitted):
    """pae-gmm's compression network is that of its autoencoder, whatever the epochs after it."""
    longer = small("pae-gmm", epochs=12).fit(rows)
    one, other = (parts(d)[0].parameters for d in (fitted["pae-gmm"], longer))
    same = {name: np.array_equal(one[name], other[name]) for name in one}
    assert all(same[name] for name in one if not name.startswith("estimation"))
    assert not any(same[name] for name in one if name.startswith("estimation"))
    tuned = parts(small("dagmm-p", epochs=12).fit(rows))[0].parameters
    assert not np.array_equal(tuned["encoder.0.weight"], one["encoder.0.weight"])


def test_the_mixture_by_em_is_scikit_learns_likeliest(rows, fitted):
    detector = fitted["pae-gmm-em"]
    z = detector.latent(rows)
    scaled = (z - z.mean(axis=0)) / z.std(axis=0)
    best = max(
        GaussianMixture(2, random_state=seed, reg_covar=1e-6).fit(scaled).score(scaled)
        for seed in range(8)
    )
    ours = -detector.mixtures_[0].energy(z).mean() + np.log(z.std(axis=0)).sum()
    assert ours > best - 0.02


def test_starts_on_a_part_of_the_rows_lead_to_a_mixture_of_all(monkeypatch):
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(300, 2)), 5.0 + rng.normal(size=(600, 2))])
    whole = mixture_by_em(z, 2, 1e-6, 0)
    monkeypatch.setattr("dagmm_model.mixture.selection.START_ROWS", 90)
    part = mixture_by_em(z, 2, 1e-6, 0)
    assert abs(part.energy(z).mean() - whole.energy(z).mean()) < 1e-3
    np.testing.assert_allclose(np.sort(part.phi), np.sort(whole.phi), atol=1e-2)


def test_without_its_difference_each_is_dagmm(rows):
    options = {**SMALL, "batch_size": 64}
    plain = make_detector("dagmm", "paper-thyroid", 3, **options).fit(rows)
    unpretrained = small("dagmm-p", 3, layer_epochs=0, autoencoder_epochs=0).fit(rows)
    np.testing.assert_array_equal(unpretrained.energy(rows), plain.energy(rows))
    one_component = [small(n, 3, n_components=1).fit(rows) for n in ("dagmm", "dagmm-nvi")]
    energies = [d.energy(rows) for d in one_component]  # the bound is the energy then
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-5)
    differing = [small(n, 3).fit(rows).energy(rows) for n in ("dagmm-nvi", "gmm-en")]
    for energies in differing:
        assert np.abs(energies - plain.energy(rows)).max() > 1e-3


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_in_turns_is_adam_on_one_loss_and_then_on_the_other(rows, engine):
    """By hand: two optimisers over the same parameters, a batch descended by both."""
    x = rows.astype(np.float32)
    settings = resolve("paper-thyroid", 6, len(rows), SMALL | {"dropout": 0.0, "n_components": 2})
    start = initialise(settings, 6, [4], x)
    order = np.random.default_rng(0).permutation(len(x))[: 3 * 64].reshape(1, 3, 64)
    cpu = Device("cpu", "a test")
    ours = make_engine(engine, cpu, x, None, start, replace(settings, alternating=True))
    actual = ours.run(order, 1e-3, [np.random.default_rng(0)])

    parameters = {n: torch.tensor(v, requires_grad=True) for n, v in start.items()}
    one, other = (torch.optim.Adam(parameters.values(), lr=1e-3, eps=1e-8) for _ in range(2))
    weights, jitter = torch.ones(1, 64, dtype=torch.float64), torch.full((1, 1), settings.jitter)
    for step in range(3):
        batch = torch.tensor(x)[order[:, step]]
        for turn, optimiser in enumerate((one, other)):
            losses, _ = objective(parameters, batch, weights, settings, jitter.double(), None)
            terms = (
                (0.1 * losses.energy + 0.005 * losses.penalty) if turn else losses.reconstruction
            )
            optimiser.zero_grad()
            terms.sum().backward()
            optimiser.step()
            assert actual[step, 0, 2 if turn else 1] == pytest.approx(
                float((losses.energy if turn else losses.reconstruction)[0].detach()), rel=1e-4
            )
    for name, value in ours.parameters().items():
        expected = parameters[name].detach().numpy()
        np.testing.assert_allclose(value, expected, atol=2e-5, err_msg=name)


def test_joint_training_is_another_one_than_in_turns(rows, fitted):
    joint = small("dagmm").fit(rows)
    assert np.abs(joint.energy(rows) - fitted["dagmm-alternating"].energy(rows)).max() > 1e-3
    assert list(joint.history_[-1].terms) == list(fitted["dagmm-alternating"].history_[-1].terms)


@pytest.mark.parametrize("name", ["pae", "pae-gmm-em", "dagmm-p", "dagmm-alternating"])
def test_killed_in_any_phase_it_goes_on_to_the_same_bits(name, rows, fitted, tmp_path):
    class Killed(Exception):
        pass

    seen: list[int] = []
    planned = fitted[name].history_[0].epochs
    for end in range(3, planned + 4, 3):

        def kill(record, end=end):
            seen.append(record.epoch)
            if record.epoch == end:
                raise Killed

        place = Checkpointing(Path(tmp_path), every_seconds=0.0)
        try:
            resumed = small(name).fit(rows, observers=[kill], checkpoint=place)
            break
        except Killed:
            continue
    np.testing.assert_array_equal(resumed.energy(rows), fitted[name].energy(rows))
    terms = [[e.terms for e in d.history_] for d in (resumed, fitted[name])]
    assert terms[0] == terms[1]
    # An epoch is repeated where it was killed before its checkpoint, and only there.
    assert len(seen) <= planned + planned // 3 + 1


def test_members_are_pre_trained_each_by_its_own_seed(rows):
    both = small("pae", members=2).fit(rows)
    alone = small("pae").fit(rows)
    first = {name: value[0] for name, value in parts(both)[0].parameters.items()}
    for name, value in parts(alone)[0].parameters.items():
        np.testing.assert_allclose(first[name], value[0], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gmm-en", {"lambda_reconstruction": 1.0}, "what makes gmm-en"),
        ("pae", {"criterion": "energy"}, "what makes pae"),
        ("pae", {"layer_epochs": -1}, "layer_epochs=-1"),
        ("dagmm", {"criterion": "distance"}, "criterion='distance'"),
        ("dagmm-nvi", {"epoch": 1}, "did you mean 'epochs'"),
        ("pae-gmm", {"lambda_energy": 0.0, "lambda_penalty": 0.0}, "nothing is trained"),
        ("pae", {"linear_path": "pca"}, "linear_path='none'"),
        ("dagmm-alternating", {"alternating": False}, "what makes dagmm-alternating"),
        ("dagmm-alternating", {"lambda_reconstruction": 0.0}, "positive lambdas"),
    ],
)
def test_what_contradicts_the_definition_is_refused(name, settings, message, rows):
    with pytest.raises(SettingsError, match=message):
        make_detector(name, **settings).fit(rows)


def test_weights_that_em_cannot_take_are_refused(rows):
    with pytest.raises(SettingsError, match="repeat rows"):
        small("pae-gmm-em").fit(rows, sample_weight=np.linspace(0.5, 1.5, len(rows)))
