"""The captured step: what a replay has to know lies on the device, and nothing waits.

Where there is a GPU its graphs are used, else graphs emulated on the CPU.
"""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dagmm_model.engines.numpy.engine import NumpyEngine
from dagmm_model.engines.torch.engine import TorchEngine
from dagmm_model.engines.torch.weights import Weights
from dagmm_model.mixture.mixture import JitterWarning
from dagmm_model.networks.network import initialise, streams
from dagmm_model.networks.presets import PAPER
from dagmm_model.networks.settings import DagmmSettings
from tests.dagmm_model.engines.emulated import emulated_graphs

from .test_engine import BATCH, OPTIONS, dropout_of, order_of, rows_of, settings_of, start_of

NAMES = [*map(str, range(len(OPTIONS)))]


GPU = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not GPU, reason="needs a GPU")


@pytest.fixture(autouse=True)
def _graphs():
    if GPU:
        yield
    else:
        with emulated_graphs():
            yield


class Counting(TorchEngine):
    """Counts captures."""

    captured = 0

    def _capture(self):
        self.captured += 1
        super()._capture()


def engine_of(settings, graph=True, x=None, kind=Counting):
    x = rows_of() if x is None else x
    start = start_of(settings, (1, 2))
    device = "cuda" if GPU else "cpu"
    return kind(x, None, start, settings, device, torch.float64, graph=graph)


def assert_same(one, other, atol=1e-8 if GPU else 1e-12):
    expected = other.parameters()
    for name, value in one.parameters().items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_a_replayed_step_is_the_step(options):
    settings, rates = settings_of(**options), np.linspace(1e-3, 1e-4, 12)
    actual = []
    for graph in (True, False):
        engine, dropout = engine_of(settings, graph), dropout_of((1, 2))
        order = order_of(2, 12)
        actual.append(
            [
                engine.run(order[:, :5], rates[:5], dropout),
                engine.run(order[:, 5:], rates[5:], dropout),
                engine,
            ]
        )
    (first, second, replayed), (*expected, plain) = actual
    np.testing.assert_allclose(np.concatenate([first, second]), np.concatenate(expected), rtol=1e-8)
    assert replayed.captured == 1
    assert_same(replayed, plain)


def test_rows_batches_states_and_jitter_change_under_one_graph():
    settings, engines = settings_of(jitter=0.0), []
    for graph in (True, False):
        engine, dropout = engine_of(settings, graph), dropout_of((1, 2))
        order = order_of(2, 8)
        engine.run(order, 1e-3, dropout)
        state = engine.state()
        engine.run(order[:, :3, : BATCH - 7], 1e-3, dropout)  # a window's batch is smaller
        engine.take(rows_of(3)[:250])
        engine.run(order[:, :4] % 250, 1e-3, dropout)
        engine.undo()
        engine.load(state)
        single = order[:, :3].copy()
        single[1, 1] = np.arange(BATCH) % 2  # its covariances have no inverse
        with pytest.warns(JitterWarning):
            engine.run(single % 250, 1e-3, dropout)
        assert engine.jitter[0] == 0 < engine.jitter[1]
        engines.append(engine)
    assert [engine.captured for engine in engines] == [1, 0]
    assert_same(*engines)


def test_rows_that_find_no_room_are_captured_again_and_then_have_some():
    engine = engine_of(settings_of(), x=rows_of()[:100])
    for n in (100, 200, 230, 190):
        engine.take(rows_of(n)[:n])
        engine.run(order_of(2, 2) % n, 1e-3, dropout_of((1, 2)))
    assert engine.captured == 2


class Waits(TorchEngine):
    """Looks at a loss within the step."""

    def _clip(self, gradient):
        if bool(gradient.abs().max() > 1e9):
            gradient.zero_()
        super()._clip(gradient)


class Remembers(TorchEngine):
    """Has Python count the steps."""

    count = 0

    def _clip(self, gradient):
        self.count += 1
        gradient *= 1.0 / self.count


def test_a_planted_wait_for_the_device_is_caught_at_the_capture():
    with pytest.raises(RuntimeError, match="captur"):
        engine_of(settings_of(), kind=Waits).run(order_of(2, 2), 1e-3, dropout_of((1, 2)))


def test_a_planted_value_of_python_is_caught_by_the_replay():
    engines = [engine_of(settings_of(), graph, kind=Remembers) for graph in (True, False)]
    for engine in engines:
        engine.run(order_of(2, 6), 1e-3, dropout_of((1, 2)))
    with pytest.raises(AssertionError):
        assert_same(*engines)


class OnDevice(TorchDispatchMode):
    """Refuses operations on, or to, anything but the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor):
                assert leaf.is_meta, f"{func} works on the host: {tuple(leaf.shape)}"
        return result


def trace(settings, width, kind, monkeypatch, weighted=True):
    """A step of tensors that have no values: whoever asks for one is refused."""
    # Adam's fused kernel is PyTorch's, and has no form without values.
    monkeypatch.setattr(Weights, "step", lambda self, g: self.flat.detach().sub_(g * self.rate))
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, **_: torch.optim.SGD(parameters))
    x = np.random.default_rng(0).random((50, width))
    start = initialise(settings, width, (1, 2), x)
    engine = kind(x, np.ones(50) if weighted else None, start, settings, "meta")
    engine.tables.make_room(1, 32)
    with OnDevice():
        engine.step()


SETTINGS = [settings_of(**options) for options in OPTIONS] + [*PAPER.values()]


@pytest.mark.parametrize("settings", SETTINGS, ids=map(str, range(len(SETTINGS))))
def test_a_step_needs_nothing_of_the_host(settings, monkeypatch):
    trace(settings, 9, TorchEngine, monkeypatch)


class Copies(TorchEngine):
    """Has a tensor of the host in the step."""

    def _clip(self, gradient):
        gradient *= torch.ones(gradient.shape[1])


class Reads(TorchEngine):
    """Copies to the host within the step."""

    def _clip(self, gradient):
        gradient.cpu().numpy()


@pytest.mark.parametrize("kind", [Waits, Copies, Reads])
def test_planted_work_of_the_host_is_caught_by_the_trace(kind, monkeypatch):
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)):
        trace(settings_of(), 9, kind, monkeypatch)


@needs_gpu
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_a_gpu_trains_as_a_cpu_does_and_waits_for_nothing(options):
    settings = settings_of(**(options | {"dropout": 0.0, "masking": 0.0}))  # drawn on the GPU there
    order, start = order_of(2, 15), start_of(settings, (1, 2))  # a step's last digits grow by tens
    fast = NumpyEngine(rows_of(), None, start, settings, np.float64)
    expected, engine = fast.run(order, 1e-3, []), engine_of(settings)
    np.testing.assert_allclose(engine.run(order, 1e-3, []), expected, rtol=1e-7, atol=1e-7)
    assert_same(engine, fast)
    plain = engine_of(settings, graph=False)
    plain.run(order[:, :1], 1e-3, [])
    plain.position.zero_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        plain.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_many_steps_of_dropout_are_drawn_for_the_batch_of_all_ranks():
    settings = DagmmSettings(encoder_widths=(6, 4, 2), n_components=3, dropout=0.2)
    engine = engine_of(settings, graph=False)
    engine.run(order_of(2, 40), 1e-3, [streams(seed)[2] for seed in (1, 2)])
    kept = (engine.tables.masks > 0).double()
    assert kept.mean((0, 2, 3)).tolist() == pytest.approx([0.8, 0.8], abs=0.01)
    assert (kept[:, 0] != kept[:, 1]).double().mean().item() == pytest.approx(0.32, abs=0.02)
    assert engine.tables.masks.unique().tolist() == pytest.approx([0.0, 1.25])


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS[1],
        *(pytest.param(OPTIONS[i], marks=pytest.mark.slow) for i in (14, -4)),
        OPTIONS[-2],
    ],
)
def test_a_compiled_step_is_one_graph_and_the_step(options):
    settings, engines = settings_of(**options), []
    start = start_of(settings, (1, 2))
    for compiler in (None, "aot_eager"):
        engine = TorchEngine(
            rows_of(), None, start, settings, dtype=torch.float64, compiler=compiler
        )
        engine.run(order_of(2, 4), 1e-3, dropout_of((1, 2)))
        engines.append(engine)
    assert_same(*engines, atol=1e-9)
