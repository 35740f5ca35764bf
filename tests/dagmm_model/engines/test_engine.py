"""The two engines compute the same; members, shards and weights do what they say."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dagmm_model.base.distributed import Part
from dagmm_model.base.processors import blas_threads
from dagmm_model.engines.interface import dropout_masks, visible_columns
from dagmm_model.engines.numpy import engine as engine_numpy
from dagmm_model.engines.numpy.engine import NumpyEngine
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.mixture.mixture import JitterWarning
from dagmm_model.networks.compression import compress
from dagmm_model.networks.network import initialise, streams, trained
from dagmm_model.networks.objective import objective
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.final_mixture import fit_scorer
from tests.dagmm_model import paper_reference

torch.set_num_threads(1)  # threads of torch spin: on a busy machine they cost minutes

KINDS = [NumpyEngine, TorchEngine]
N, WIDTH, BATCH = 300, 9, 64
TORCH = {np.float32: torch.float32, np.float64: torch.float64}


def settings_of(**options):
    return DagmmSettings(encoder_widths=(6, 4, 2), n_components=3, **options)


def rows_of(seed=0):
    rows = np.random.default_rng(seed).random((N, WIDTH))
    rows[3] = 0.0
    return rows


def weights_of(weighted):
    return np.random.default_rng(1).uniform(0.1, 2.0, N) if weighted else None


def order_of(members, steps, seed=5):
    rng = np.random.default_rng(seed)
    shuffled = [[rng.permutation(N)[:BATCH] for _ in range(steps)] for _ in range(members)]
    return np.array(shuffled)


def dropout_of(seeds):
    return [streams(seed)[2] for seed in seeds]


def start_of(settings, seeds):
    return initialise(settings, WIDTH, seeds, rows_of())


def both(settings, dtype=np.float64, weighted=False, seeds=(1, 2)):
    start = start_of(settings, seeds)
    x, weight = rows_of(), weights_of(weighted)
    return (
        NumpyEngine(x, weight, start, settings, dtype),
        TorchEngine(x, weight, start, settings, dtype=TORCH[dtype]),
    )


def reference(settings, rows, weighted, seeds=(1, 2)):
    """Losses ``(S, 4)`` and gradients of a batch: the readable objective and autograd, float64."""
    parameters = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=trained(name, settings))
        for name, value in start_of(settings, seeds).items()
    }
    part, widths, masks, visible = Part(0, rows.shape[1]), settings.estimation_widths, None, None
    drawing = dropout_of(seeds)
    if settings.masking > 0:
        shape = rows.shape[1], WIDTH, settings.masking
        visible = torch.as_tensor(visible_columns(drawing, *shape, np.float64, part))
    if settings.dropout > 0:
        drawn = dropout_masks(drawing, rows.shape[1], widths, settings.dropout, np.float64, part)
        masks = [torch.as_tensor(mask).mT for mask in drawn]
    weight = np.ones(N) if weights_of(weighted) is None else weights_of(weighted)
    losses, _ = objective(
        parameters,
        torch.as_tensor(rows_of()[rows]),
        torch.as_tensor(weight[rows]),
        settings,
        settings.jitter,
        masks,
        visible=visible,
    )
    losses.total.sum().backward()
    gradients = {n: p.grad.numpy() for n, p in parameters.items() if p.grad is not None}
    return torch.stack(losses, dim=1).detach().numpy(), gradients


MASKED = {
    "masking": 0.7,
    "reconstruction_features": "log_error",
    "latent_scaling": "standardised",
}

OPTIONS = [
    {
        "reconstruction_features": features,
        "latent_scaling": latent,
        "reconstruction_reduction": reduction,
        "dropout": dropout,
        "gradient_clip": clip,
    }
    for features, latent, reduction, (dropout, clip) in product(
        ("paper", "log_error", "log_error_cosine"),
        ("none", "standardised"),
        ("sum", "mean"),
        ((0.0, None), (0.5, 1.0)),
    )
] + [
    {"linear_path": "pca", "reconstruction_features": features, "latent_scaling": "standardised"}
    for features in ("paper", "log_error")
]
OPTIONS += [
    {"mixture_term": "variational", "latent_scaling": latent, "dropout": dropout}
    for latent, dropout in (("none", 0.0), ("standardised", 0.5))
] + [
    {"lambda_reconstruction": 0.0, "mixture_term": "energy"},
    {"lambda_energy": 0.0, "lambda_penalty": 0.0},
    {"freeze_compression": True, "latent_scaling": "standardised"},
    MASKED,
    MASKED | {"dropout": 0.5, "gradient_clip": 1.0},
]


WEIGHTED = [
    pytest.param(
        options,
        weighted,
        id="-".join([*(str(value) for value in options.values()), str(weighted)]),
        # Rows with and without weights in turn; every option with both when there is time.
        marks=() if number % 2 == weighted else pytest.mark.slow,
    )
    for number, options in enumerate(OPTIONS)
    for weighted in (False, True)
]


def assert_gradients(actual, expected):
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in actual.items():
        wanted = expected.get(name, 0.0)  # none where the objective does not move it
        np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-11 * scale, err_msg=name)


@pytest.mark.parametrize(("options", "weighted"), WEIGHTED)
def test_engines_are_the_readable_objective_and_agree_to_1e_10_in_float64(options, weighted):
    settings = settings_of(**options)
    fast, other = both(settings, weighted=weighted)
    order = order_of(2, 30)
    expected, gradients = reference(settings, order[:, 0], weighted)
    losses = fast.gradients(order[:, 0], dropout_of((1, 2)))
    np.testing.assert_allclose(losses, expected, rtol=1e-10, atol=1e-10)
    assert_gradients(fast.parameter_gradients(), gradients)
    unclipped = settings_of(**(options | {"gradient_clip": None}))
    engine = both(unclipped, weighted=weighted)[1]
    losses = engine.run(order[:, :1], 1e-3, dropout_of((1, 2)))
    np.testing.assert_allclose(losses[0], expected, rtol=1e-10, atol=1e-10)
    assert_gradients(engine.parameter_gradients(), gradients)
    rates, draws = np.linspace(1e-3, 1e-4, 30), (dropout_of((1, 2)), dropout_of((1, 2)))
    for steps in (slice(0, 12), slice(12, 30)):
        losses = fast.run(order[:, steps], rates[steps], draws[0])
        expected = other.run(order[:, steps], rates[steps], draws[1])
        np.testing.assert_allclose(losses, expected, rtol=1e-9, atol=1e-9)
    expected = other.parameters()
    for name, value in fast.parameters().items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("options", [*OPTIONS[::5], OPTIONS[-1]])
def test_engines_agree_in_float32(options):
    fast, reference = both(settings_of(**options), np.float32)
    order = order_of(2, 100)
    losses = fast.run(order, 1e-3, dropout_of((1, 2)))
    expected = reference.run(order, 1e-3, dropout_of((1, 2)))
    np.testing.assert_allclose(losses[0], expected[0], rtol=1e-5, atol=1e-5)
    expected = reference.parameters()
    for name, value in fast.parameters().items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_gradients_in_float32_are_those_in_float64_to_1e_5(options):
    settings, rows = settings_of(**options), order_of(2, 1)[:, 0]
    start, x, actual = start_of(settings, (1, 2)), rows_of().astype(np.float32), []
    for dtype in (np.float32, np.float64):
        engine = NumpyEngine(x, None, start, settings, dtype)
        engine.gradients(rows, dropout_of((1, 2)))
        actual.append(engine.parameter_gradients())
    scale = max(np.abs(gradient).max() for gradient in actual[1].values())
    for name, gradient in actual[1].items():
        np.testing.assert_allclose(actual[0][name], gradient, rtol=0, atol=1e-5 * scale)


def test_the_fast_engine_computes_the_papers_objective():
    settings = settings_of(dropout=0.0)
    start = start_of(settings, [1])
    x = rows_of().astype(np.float32)
    losses = NumpyEngine(x, None, start, settings, np.float64).gradients(
        np.arange(BATCH)[None], dropout_of((1,))
    )
    expected = paper_reference.objective(
        {n: v[0] for n, v in start.items()}, x[:BATCH], np.ones(BATCH), settings
    )
    for i, term in enumerate(("total", "reconstruction", "energy", "penalty")):
        assert losses[0, i] == pytest.approx(expected[term], rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_what_it_would_be_alone(kind):
    settings, order = settings_of(), order_of(3, 50)
    together = kind(rows_of(), None, start_of(settings, [1, 2, 3]), settings)
    together.run(order, 1e-3, dropout_of((1, 2, 3)))
    for s, seed in enumerate((1, 2, 3)):
        alone = kind(rows_of(), None, start_of(settings, [seed]), settings)
        alone.run(order[s : s + 1], 1e-3, dropout_of((seed,)))
        for name, value in alone.parameters().items():
            np.testing.assert_allclose(together.parameters()[name][s], value[0], atol=1e-5)


def test_training_moves_every_parameter_of_all_three_networks():
    settings = settings_of()
    start = start_of(settings, [1])
    engine = NumpyEngine(rows_of(), None, start, settings)
    engine.run(order_of(1, 5), 1e-3, dropout_of((1,)))
    for name, value in engine.parameters().items():
        assert np.abs(value - start[name]).max() > 1e-4, name
        assert np.abs(engine.parameter_gradients()[name]).max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "still"),
    [
        ({"freeze_compression": True}, ("encoder", "decoder")),
        ({"lambda_energy": 0.0, "lambda_penalty": 0.0}, ("estimation",)),
    ],
)
def test_what_is_frozen_or_not_in_the_objective_does_not_move(kind, options, still):
    settings, order = settings_of(**options), order_of(1, 5)
    start = start_of(settings, [1])
    engine = kind(rows_of(), None, start, settings)
    losses = engine.run(order, 1e-3, dropout_of((1,)))
    for name, value in engine.parameters().items():
        if name.split(".")[0] in still:
            np.testing.assert_array_equal(value, start[name], err_msg=name)
        else:
            assert np.abs(value - start[name]).max() > 1e-4, name
    if "estimation" in still:
        assert engine.mixture() is None
        np.testing.assert_array_equal(losses[..., 2:], 0.0)
        np.testing.assert_array_equal(losses[..., 0], losses[..., 1])


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_weight_the_reconstruction_has_no_gradient(kind):
    """The gradient of the whole is that of the reconstruction plus that of the rest."""
    order, actual = order_of(1, 1), []
    for weights in ((1.0, 0.1, 0.005), (0.0, 0.1, 0.005), (1.0, 0.0, 0.0)):
        names = ("lambda_reconstruction", "lambda_energy", "lambda_penalty")
        settings = settings_of(dropout=0.0, **dict(zip(names, weights, strict=True)))
        start = start_of(settings, [1])
        more = {"dtype": TORCH[np.float64] if kind is TorchEngine else np.float64}
        engine = kind(rows_of(), None, start, settings, **more)
        engine.run(order, 1e-3, [])
        actual.append(engine.parameter_gradients())
    whole, rest, alone = actual
    for name, gradient in whole.items():
        np.testing.assert_allclose(
            gradient, rest[name] + alone.get(name, 0.0), rtol=1e-9, atol=1e-9, err_msg=name
        )


def test_threads_do_not_change_a_bit_and_shards_hardly(monkeypatch):
    settings, order = settings_of(), order_of(2, 30)
    start = start_of(settings, [1, 2])
    monkeypatch.setattr(engine_numpy, "SHARD_WORK", 0)
    results = []
    for threads in (1, 2):
        with blas_threads().limit(limits=threads):
            engine = NumpyEngine(rows_of(), None, start, settings, np.float64)
        engine.run(order, 1e-3, dropout_of((1, 2)))
        results.append(engine.parameters())
    monkeypatch.undo()
    whole = NumpyEngine(rows_of(), None, start, settings, np.float64)
    whole.run(order, 1e-3, dropout_of((1, 2)))
    for name, value in results[0].items():
        assert (value == results[1][name]).all(), name
        np.testing.assert_allclose(whole.parameters()[name], value, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_on_to_the_last_bit(kind):
    settings, order = settings_of(), order_of(1, 20)
    start = start_of(settings, [1])
    dropout = dropout_of((1,))
    first = kind(rows_of(), None, start, settings)
    first.run(order[:, :10], 1e-3, dropout)
    state, random = first.state(), dropout[0].bit_generator.state
    first.run(order[:, 10:], 1e-3, dropout)
    second = kind(rows_of(), None, start, settings)
    second.load(state)
    dropout[0].bit_generator.state = random
    second.run(order[:, 10:], 1e-3, dropout)
    for name, value in first.parameters().items():
        assert (value == second.parameters()[name]).all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_at_the_first_loss_that_is_not_finite(kind):
    settings = settings_of(dropout=0.0)
    x = rows_of()
    x[7] = 1e30
    order = order_of(1, 4)
    order[:, :2] = np.where(order[:, :2] == 7, 8, order[:, :2])
    order[0, 2, 0] = 7
    losses = kind(x, None, start_of(settings, [1]), settings).run(order, 1e-3, [])
    assert len(losses) == 3
    assert np.isfinite(losses[:2]).all()
    assert not np.isfinite(losses[2]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_jitter_is_raised_for_the_member_whose_covariance_is_singular(kind):
    settings = settings_of(jitter=0.0)
    start, order = start_of(settings, [1, 2]), order_of(2, 3)[:, :, :12]
    # A batch of two rows in a latent of four dimensions has covariances of rank one.
    order[1, 1] = np.arange(12) % 2
    engine = kind(rows_of(), None, start, settings)
    with pytest.warns(JitterWarning, match="jitter raised from 0"):
        losses = engine.run(order, 1e-3, dropout_of((1, 2)))
    assert engine.jitter[0] == 0
    assert engine.jitter[1] > 0
    assert losses.shape == (3, 2, 4)
    assert np.isfinite(losses).all()
    alone = kind(rows_of(), None, start_of(settings, [1]), settings)
    alone.run(order[:1], 1e-3, dropout_of((1,)))
    for name, value in alone.parameters().items():
        np.testing.assert_allclose(engine.parameters()[name][0], value[0], atol=1e-5)
    again = kind(rows_of(), None, start, settings)
    again.load(engine.state())
    np.testing.assert_array_equal(again.jitter, engine.jitter)


def test_a_weight_counts_like_repeating_the_row():
    settings = settings_of(dropout=0.0)
    start = start_of(settings, [1])
    weight = np.ones(N)
    weight[[4, 9]] = [3.0, 2.0]
    weighted = NumpyEngine(rows_of(), weight, start, settings, np.float64)
    plain = NumpyEngine(rows_of(), None, start, settings, np.float64)
    a = weighted.gradients(np.arange(20)[None], [])
    b = plain.gradients(np.repeat(np.arange(20), weight[:20].astype(int))[None], [])
    np.testing.assert_allclose(a, b, rtol=1e-12)
    for name, gradient in plain.parameter_gradients().items():
        scale = np.abs(gradient).max()
        got = weighted.parameter_gradients()[name]
        np.testing.assert_allclose(got, gradient, rtol=0, atol=1e-11 * scale)


def test_the_linear_path_starts_as_the_principal_components_and_stays():
    settings = settings_of(linear_path="pca", dropout=0.0)
    rows = rows_of()
    start = start_of(settings, [1])
    double = {name: value.astype(np.float64) for name, value in start.items()}
    z, x_hat = compress(np, double, rows[None], "paper")
    centred = rows.astype(np.float32) - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = rows.mean(axis=0) + centred @ axes[:2].T @ axes[:2]
    np.testing.assert_allclose(x_hat[0], expected, atol=1e-5)
    np.testing.assert_allclose(z[0, :, :2].std(axis=0), 1.0, rtol=1e-4)
    engine = NumpyEngine(rows, None, start, settings)
    engine.run(order_of(1, 5), 1e-3, [])
    np.testing.assert_array_equal(engine.parameters()["path.down"], start["path.down"])
    assert np.abs(engine.parameters()["encoder.2.weight"]).max() > 0


@pytest.mark.parametrize("width", [1, 40])
def test_each_row_hides_a_share_of_its_own_up_to_the_setting(width):
    visible = visible_columns(dropout_of((1, 2)), 4000, width, 0.7, np.float32, Part(0, 4000))
    hidden = 1.0 - visible.mean(axis=2)
    assert hidden.mean(axis=1) == pytest.approx([0.35, 0.35], abs=0.02)
    if width == 40:
        variance = 0.7**2 / 12 + (0.35 - 0.7**2 / 3) / 40  # of the share, of the draws
        assert hidden.std(axis=1) == pytest.approx([variance**0.5] * 2, abs=0.01)
    assert (visible[0] != visible[1]).mean() > 0.3


def test_ranks_hide_what_one_would():
    whole = visible_columns(dropout_of((1, 2)), 10, 5, 0.7, np.float64, Part(0, 10))
    parts = [
        visible_columns(dropout_of((1, 2)), 5, 5, 0.7, np.float64, Part(start, 10))
        for start in (0, 5)
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


class Launches(TorchDispatchMode):
    """Counts operations that are not views: on a GPU each is a launch, or a few."""

    VIEWS = (
        *("view", "_unsafe_view", "transpose", "permute", "expand", "select", "slice", "alias"),
        *("unsqueeze", "squeeze", "detach", "diagonal", "split_with_sizes", "unbind"),
        *("empty", "empty_like"),
    )

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ not in self.VIEWS
        return func(*args, **(kwargs or {}))


def test_a_step_has_few_launches_whatever_the_size_of_the_mixture():
    counts = {}
    for width, components in ((1, 2), (10, 32)):
        settings = DagmmSettings(encoder_widths=(6, 4, width), n_components=components)
        engine = TorchEngine(rows_of(), None, start_of(settings, [1]), settings)
        engine.run(order_of(1, 1), 1e-3, dropout_of((1,)))
        with Launches() as launches:
            engine.run(order_of(1, 1), 1e-3, dropout_of((1,)))
        counts[width] = launches.count
    assert counts[1] < 350
    assert counts[10] - counts[1] <= 5 * 9  # five for each column of the elimination


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"latent_scaling": "standardised", "reconstruction_features": "log_error"},
        {"criterion": "reconstruction", "linear_path": "pca"},
    ],
)
def test_validation_energies_of_the_torch_engine_are_the_scorers(options):
    settings = settings_of(dropout=0.2, **options)
    x, weight, held = rows_of(), weights_of(True), rows_of(9)[:40]
    engine = TorchEngine(x, weight, start_of(settings, (1, 2)), settings, dtype=torch.float64)
    engine.run(order_of(2, 20), 1e-3, dropout_of((1, 2)))
    scorer = fit_scorer(engine.parameters(), settings, engine.jitter, x.__getitem__, len(x), weight)
    expected = scorer.member_energies(held).mean(axis=1)
    actual = engine.mean_energies(held, settings.criterion)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)
