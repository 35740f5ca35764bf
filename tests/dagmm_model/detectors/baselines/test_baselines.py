"""Every baseline learns, is reproducible, is kept without loss, and says what it cannot do."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.settings import SettingsError
from dagmm_model.detectors.catalogue import CATALOGUE, make_detector
from dagmm_model.detectors.file_format import load_detector, save_detector
from dagmm_model.detectors.interface import NotEnoughRowsError, TooLarge
from tests.dagmm_model.detectors.baselines.tables import CLASSIC, TRAINED, islands, plane, quick

ON_ISLANDS = ("kmeans", "isolation-forest", "ecod", "dcn")
"""What these see lies in the columns themselves, or in the distance to clusters."""

RESULTS = {}


def fitted(name: str):
    """A quick fit on the table that suits the baseline, made once; and that table."""
    if name not in RESULTS:
        table = islands() if name in ON_ISLANDS else plane()
        RESULTS[name] = make_detector(name, seed=1, **quick(name)).fit(table[0]), table
    return RESULTS[name]


def auc(detector, rows, labels) -> float:
    return float(roc_auc_score(labels, detector.energy(rows)))


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_it_tells_odd_rows_from_normal_ones(name):
    detector, (_, rows, labels) = fitted(name)
    assert auc(detector, rows, labels) > 0.8


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_what_does_it(name):
    detector, (train, rows, labels) = fitted(name)
    none = {
        key: 0 for key in ("epochs", "pretraining", "encoding") if key in vars(detector.settings_)
    }
    untrained = make_detector(name, seed=1, **quick(name, **none)).fit(train)
    assert untrained.n_iter_ == 0
    assert auc(detector, rows, labels) > auc(untrained, rows, labels) + 0.1


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_a_loaded_one_gives_the_same_energies(name, tmp_path):
    detector, (_, rows, _) = fitted(name)
    save_detector(detector, tmp_path)
    again = load_detector(tmp_path)
    assert type(again) is type(detector)
    assert again.settings_ == detector.settings_
    assert again.history_ == detector.history_
    np.testing.assert_array_equal(again.energy(rows), detector.energy(rows))


@pytest.mark.parametrize("name", TRAINED)
def test_one_trained_on_a_gpu_that_is_not_here_scores_all_the_same(name):
    detector, (_, rows, _) = fitted(name)
    values, arrays = detector.state()
    values["settings"]["device"] = "cuda:99"
    again = type(detector).from_state(values, arrays)
    np.testing.assert_allclose(again.energy(rows), detector.energy(rows), rtol=1e-9)
    with pytest.raises(SettingsError, match=r"device=.cuda:99. .*(no GPU|GPU here|without CUDA)"):
        make_detector(name, **quick(name, device="cuda:99")).fit(plane()[0])


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_the_seed_decides_and_the_order_of_the_rows_does_not(name):
    train, rows, _ = plane()
    settings = quick(name)
    for key in ("epochs", "pretraining", "encoding"):
        if key in settings:
            settings[key] = 2
    first = make_detector(name, seed=3, **settings).fit(train).energy(rows)
    shuffled = np.random.default_rng(0).permutation(train)
    again = make_detector(name, seed=3, **settings).fit(shuffled).energy(rows)
    np.testing.assert_array_equal(first, again)
    if name in TRAINED:
        other = make_detector(name, seed=4, **settings).fit(train).energy(rows)
        assert (first != other).all()


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_energy_does_not_depend_on_the_rows_scored_with_it(name):
    detector, (_, rows, _) = fitted(name)
    together = detector.energy(rows[:4])
    alone = np.concatenate([detector.energy(row[None]) for row in rows[:4]])
    np.testing.assert_allclose(alone, together, rtol=1e-8)
    assert detector.energy(rows[:0]).shape == (0,)


@pytest.mark.parametrize("name", TRAINED)
def test_every_epoch_is_recorded_with_its_terms(name):
    detector, _ = fitted(name)
    assert detector.n_iter_ == len(detector.history_) >= 30
    for number, record in enumerate(detector.history_, start=1):
        assert (record.epoch, record.epochs) == (number, detector.n_iter_)
        # 0 would be a term that its phase does not have.
        assert all(np.isfinite(value) and value for value in record.terms.values())


@pytest.mark.parametrize("name", TRAINED)
def test_an_interrupted_training_goes_on_to_the_same_bits(name, tmp_path):
    train, rows, _ = plane()
    settings = quick(name, epochs=4)
    for key in ("pretraining", "encoding"):
        if key in settings:
            settings[key] = 3
    expected = make_detector(name, seed=5, **settings).fit(train)
    for stop in (1, 2, 3, 5):  # before, at and after the change of phases

        def interrupt(record, stop=stop):
            if record.epoch == stop:
                raise KeyboardInterrupt

        place = Checkpointing(tmp_path, every_seconds=0.0)
        try:
            make_detector(name, seed=5, **settings).fit(
                train, observers=[interrupt], checkpoint=place
            )
        except KeyboardInterrupt:
            continue
    got = make_detector(name, seed=5, **settings).fit(train, checkpoint=place)
    assert [r.terms for r in got.history_] == [r.terms for r in expected.history_]
    np.testing.assert_array_equal(got.energy(rows), expected.energy(rows))


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_constant_columns_do_no_harm(name):
    train, rows, _ = plane()
    detector = make_detector(name, **quick(name, **({"epochs": 2} if name in TRAINED else {})))
    padded = np.hstack([train, np.full((len(train), 1), 3.0)])
    other = np.hstack([rows, np.full((len(rows), 1), 5.0)])
    assert np.isfinite(detector.fit(padded).energy(other)).all()


@pytest.mark.parametrize("name", TRAINED)
def test_a_table_decides_what_is_left_open(name):
    small = make_detector(name).settings_for(500, 6)
    large = make_detector(name).settings_for(200_000, 120)
    assert (small.batch_size, large.batch_size) == (128, 256)
    assert large.epochs * (200_000 // 256) <= 6_000
    assert small.epochs == 200


@pytest.mark.parametrize("name", CLASSIC + TRAINED)
def test_presets_can_be_used(name):
    for preset in CATALOGUE[name].load().presets:
        make_detector(name, preset)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gmm", {"components": 0}, "components=0 cannot be used; give an integer of at least 1"),
        ("kmeans", {"scaling": "log"}, "scaling='log' cannot be used; give one of none"),
        ("egbad", {"alpha": 2.0}, "alpha=2.0 .* at most 1"),
        ("alad", {"critic_widths": (0,)}, "critic_widths=.* a tuple of positive integers"),
        ("dcn", {"epochs": -1}, "epochs=-1 .* at least 0"),
        ("anogan", {"latent": 2.5}, "latent=2.5 .* an integer"),
        ("alad", {"spectral_norm": "yes"}, "spectral_norm='yes' .* true or false"),
        ("dsebm-e", {"nosie": 1.0}, "did you mean 'noise'"),
    ],
)
def test_settings_that_cannot_be_used_are_named(name, settings, message):
    with pytest.raises(SettingsError, match=message):
        make_detector(name, **settings)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("gmm", 3, "3 training rows cannot make 4 components"),
        ("kmeans", 3, "3 training rows cannot make 8 clusters"),
        ("dcn", 3, "3 training rows cannot make 4 clusters"),
        ("lof", 20, "20 distinct training rows are too few for 20 neighbours"),
    ],
)
def test_too_few_rows_are_refused(name, rows, message):
    with pytest.raises(NotEnoughRowsError, match=message):
        make_detector(name).fit(plane()[0][:rows])


def test_a_kernel_matrix_beyond_memory_is_refused_before_it_is_made():
    rows = np.zeros((200_000, 2))
    with pytest.raises(TooLarge, match=r"200,000 rows would need about 960 GB.*limit=5000.*pca"):
        make_detector("kernel-pca").fit(rows)
    make_detector("kernel-pca", limit=50).fit(np.random.default_rng(0).normal(size=(20_000, 2)))
