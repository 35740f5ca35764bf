"""The estimator: scikit-learn's contract, input of any shape, and what is refused."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from dagmm_model import DAGMM
from dagmm_model.base.settings import SettingsError
from dagmm_model.networks.presets import PAPER
from tests.dagmm_model.saved import parts

QUICK = {"epochs": 15, "members": 1, "random_state": 0}


FAST = {"preset": "recommended-fast"}


def rows_of(n=200, width=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


@pytest.fixture(scope="module")
def fitted():
    return DAGMM(**FAST, epochs=15, members=2, random_state=0).fit(rows_of())


@parametrize_with_checks([DAGMM(epochs=5), DAGMM(preset="paper", epochs=5)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_energy_is_minus_score_and_decides(fitted):
    x = rows_of(seed=1)
    np.testing.assert_array_equal(fitted.energy(x), -fitted.score_samples(x))
    decision = fitted.decision_function(x)
    np.testing.assert_array_equal(fitted.predict(x), np.where(decision < 0, -1, 1))


def test_far_rows_are_more_anomalous_than_rows_of_the_training_set(fitted):
    far = rows_of(seed=1) + 8.0
    assert fitted.energy(far).min() > np.median(fitted.energy(rows_of()))


def test_one_row_at_a_time_scores_as_all_together(fitted):
    x = rows_of(n=2500, seed=2)
    together = fitted.energy(x)
    alone = np.array([fitted.energy(x[i : i + 1])[0] for i in range(0, 2500, 50)])
    np.testing.assert_allclose(alone, together[::50], rtol=1e-10, atol=1e-10)


def test_row_order_of_the_training_table_does_not_matter():
    x = rows_of()
    shuffled = np.random.default_rng(3).permutation(x)
    first, second = DAGMM(**QUICK).fit(x), DAGMM(**QUICK).fit(shuffled)
    np.testing.assert_array_equal(first.energy(x), second.energy(x))


def test_same_seed_same_result_other_seed_other_result():
    x = rows_of()
    first = DAGMM(**QUICK).fit(x).energy(x)
    np.testing.assert_array_equal(DAGMM(**QUICK).fit(x).energy(x), first)
    assert np.abs(DAGMM(**(QUICK | {"random_state": 1})).fit(x).energy(x) - first).max() > 1e-3


def test_members_average_their_standardised_energies(fitted):
    x = rows_of(seed=1)
    scorer, scaler = parts(fitted)
    energies, known = (scorer.member_energies(scaler.transform(rows)) for rows in (x, rows_of()))
    standardised = (energies - known.mean(1, keepdims=True)) / known.std(1, keepdims=True)
    np.testing.assert_allclose(fitted.energy(x), standardised.mean(axis=0), rtol=1e-9)
    assert len(fitted.mixtures_) == len(energies) == 3


def test_the_wide_code_sees_what_a_narrow_one_cannot():
    """Two interleaved arcs in a plane: on one axis and its error they are one cloud."""
    arcs, _ = make_moons(1000, noise=0.05, random_state=0)
    between = np.random.default_rng(0).uniform([-1.0, -0.6], [2.0, 1.1], size=(500, 2))
    far = np.linalg.norm(between[:, None] - arcs, axis=2).min(axis=1) > 0.25
    rows, labels = np.concatenate([arcs, between[far]]), np.repeat([0, 1], [1000, far.sum()])
    with_it = DAGMM(**FAST, random_state=0).fit(arcs)
    without = DAGMM(**FAST, random_state=0, wide_code=0).fit(arcs)
    assert with_it.settings_.wide_code == 2
    assert max(mixture.health().max_condition for mixture in with_it.mixtures_) < 1e6
    actual = [roc_auc_score(labels, detector.energy(rows)) for detector in (with_it, without)]
    assert actual[0] > actual[1] + 0.05


def test_narrow_members_are_the_same_beside_a_wide_code():
    x = rows_of(300, 6)
    alone = DAGMM(**FAST, epochs=3, random_state=0, members=2, wide_code=0).fit(x)
    both = DAGMM(**FAST, epochs=3, random_state=0, members=2, wide_code=5).fit(x)
    ours, theirs = (
        scorer.member_energies(scaler.transform(x)) for scorer, scaler in map(parts, (alone, both))
    )
    np.testing.assert_allclose(theirs[:2], ours, rtol=1e-9)
    np.testing.assert_allclose(both.latent(x), alone.latent(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(both.reconstruction_error(x), alone.reconstruction_error(x))
    np.testing.assert_allclose(both.explain(x).shares, alone.explain(x).shares, atol=1e-9)
    assert [m.mu.shape[1] for m in both.mixtures_] == [3, 3, 6]


def test_a_table_of_too_few_rows_has_no_wide_code():
    fast = DAGMM(**FAST)
    assert fast.settings_for(178, 30).wide_code == 0
    assert fast.settings_for(178, 30).members == 4
    assert DAGMM(**FAST, criterion="reconstruction").settings_for(998, 10).wide() is None
    wide = fast.settings_for(998, 10).wide()
    assert wide is not None
    assert (wide.encoder_widths[-1], wide.members, wide.overlap_weight) == (10, 1, 0.0)


def test_contamination_sets_the_offset_and_nothing_else():
    x = rows_of()
    low = DAGMM(contamination=0.02, **QUICK).fit(x)
    high = DAGMM(contamination=0.3, **QUICK).fit(x)
    np.testing.assert_array_equal(low.energy(x), high.energy(x))
    assert (low.predict(x) == -1).sum() == 4
    assert (high.predict(x) == -1).sum() == 60


@pytest.mark.parametrize("weights", ["integer", "real"])
def test_sample_weight_pulls_the_mixture(weights):
    x = np.concatenate([rows_of(100), rows_of(100, seed=1) + 6.0])
    weight = np.r_[np.ones(100), np.full(100, 3.0)]
    if weights == "real":
        weight = weight + np.pi
        weight[100:] = 40.0
    plain = DAGMM(preset="paper", **QUICK).fit(x)
    weighted = DAGMM(preset="paper", **QUICK).fit(x, sample_weight=weight)
    gap = plain.energy(x[100:]).mean() - plain.energy(x[:100]).mean()
    weighted_gap = weighted.energy(x[100:]).mean() - weighted.energy(x[:100]).mean()
    assert weighted_gap < gap


def test_weight_zero_is_no_row():
    x, weight = rows_of(), np.ones(200)
    weight[50:] = 0.0
    first = DAGMM(**QUICK).fit(x, sample_weight=weight)
    np.testing.assert_array_equal(first.energy(x), DAGMM(**QUICK).fit(x[:50]).energy(x))


def test_works_in_a_pipeline_and_a_grid_search():
    x = rows_of()
    pipeline = make_pipeline(StandardScaler(), DAGMM(**QUICK)).fit(x)
    assert pipeline.predict(x).shape == (200,)
    search = GridSearchCV(
        DAGMM(**QUICK),
        {"n_components": np.array([1, 3]), "encoder_widths": [np.array([4, 2]), [3, 1]]},
        scoring=lambda detector, rows: detector.score_samples(rows).mean(),
        cv=2,
    ).fit(x)
    assert search.best_params_["n_components"] in (1, 3)
    assert search.best_estimator_.settings_.n_components == search.best_params_["n_components"]


def test_clone_keeps_parameters_and_forgets_the_fit(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.energy(rows_of())


def test_data_frame_in_names_kept():
    import pandas as pd

    frame = pd.DataFrame(rows_of(), columns=list("abcd"))
    detector = DAGMM(**QUICK).fit(frame)
    assert list(detector.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(
        detector.energy(frame), DAGMM(**QUICK).fit(rows_of()).energy(rows_of())
    )
    with pytest.raises(ValueError, match="feature names"):
        detector.energy(frame.rename(columns={"a": "z"}))


def test_explain_names_the_column_that_is_off(fitted):
    x = np.zeros((3, 4))
    x[0, 2], x[1, 0] = 30.0, -30.0
    explanation = fitted.explain(x)
    np.testing.assert_allclose(explanation.shares.sum(axis=1), 1.0)
    assert explanation.shares[0].argmax() == 2
    assert explanation.shares[1].argmax() == 0
    components = len(fitted.mixtures_[0].phi)
    assert ((explanation.component >= 0) & (explanation.component < components)).all()
    assert ((explanation.responsibility > 0) & (explanation.responsibility <= 1)).all()


def test_latent_is_the_first_members(fitted):
    z = fitted.latent(rows_of())
    assert z.shape == (200, fitted.mixtures_[0].mu.shape[1])
    assert np.isfinite(z).all()


def test_validation_rows_choose_the_epoch():
    x = rows_of()
    detector = DAGMM(preset="paper", keep_best=True, **QUICK).fit(x, validation=rows_of(seed=1))
    energies = [record.validation_energy for record in detector.history_]
    assert detector.kept_ == (1 + int(np.argmin(energies)),)


def test_early_stopping_stops():
    detector = DAGMM(early_stopping=2, members=1, epochs=500, learning_rate=0.05, random_state=0)
    assert detector.fit(rows_of()).n_iter_ < 500


def test_observers_get_a_record_of_each_epoch():
    seen = []
    detector = DAGMM(**QUICK).fit(rows_of(), observers=[seen.append])
    assert tuple(seen) == detector.history_
    assert [record.epoch for record in seen] == list(range(1, 16))
    assert seen[0].epochs == 15
    assert sum(seen[-1].phi) == pytest.approx(1.0)
    assert 1.0 <= seen[-1].effective_components <= detector.settings_.n_components


@pytest.mark.parametrize("preset", ["recommended", "paper"])
@pytest.mark.parametrize(
    "case",
    ["one column", "constant column", "all constant", "integers", "object", "float32", "zeros"],
)
def test_odd_tables_work(preset, case):
    x = rows_of(40)
    x = {
        "one column": x[:, :1],
        "constant column": np.column_stack([x, np.full(40, 7.0)]),
        "all constant": np.full((40, 3), 5.0),
        "integers": (x * 10).astype(np.int64),
        "object": x.astype(object),
        "float32": x.astype(np.float32),
        "zeros": np.where(np.arange(40)[:, None] < 5, 0.0, x),
    }[case]
    detector = DAGMM(preset=preset, epochs=5, random_state=0).fit(x)
    assert np.isfinite(detector.energy(x)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 1},
        {"encoder_widths": (1,)},
        {"encoder_widths": (3,), "estimation_widths": ()},
        {"batch_size": 1000},
        {"batch_size": 39},
        {"batch_size": 8, "dropout": 0.5, "gradient_clip": 1.0},
        {"learning_rate_schedule": "cosine"},
        {"learning_rate_schedule": "warmup_cosine"},
        {**FAST, "scaling": "whitened", "linear_path": "pca", "encoder_widths": (8, 2)},
        {"masking": 0.2, "views": ("energy", "error")},
        {"refinement": 5},
        {"scaling": "robust"},
        {"scaling": "none"},
        {"engine": "torch", "device": "cpu"},
    ],
)
def test_odd_settings_work(options):
    x = rows_of(40)
    detector = DAGMM(epochs=5, random_state=0, **options).fit(x)
    assert np.isfinite(detector.energy(x)).all()


@pytest.mark.parametrize(
    "scaling", ["minmax", "standard", "numeric", "robust", "whitened", "tempered"]
)
def test_huge_values_are_ordered_and_never_infinite(scaling):
    x = rows_of(100)
    x[0] = 1e30
    detector = DAGMM(scaling=scaling, **QUICK).fit(x)
    probe = np.zeros((4, 4))
    probe[:, 0] = [1e2, 1e6, 1e20, 1e30]
    assert np.isfinite(detector.energy(probe)).all()
    assert np.isfinite(detector.energy(x)).all()


FAR = np.geomspace(1e2, 1e6, 40)[:, None] * np.array([1.0, -1.0, 1.0, 1.0])


def test_rows_a_million_deviations_away_keep_their_order(fitted):
    assert (np.diff(fitted.energy(FAR)) > 0).all()


@pytest.mark.parametrize("features", ["log_error", "log_error_cosine"])
@pytest.mark.parametrize("preset", PAPER)
def test_with_the_error_s_logarithm_they_do_in_the_papers_presets_too(preset, features):
    """The paper's own features are bounded, and the energies of such rows with them."""
    options = {"preset": preset, "scaling": "standard"} | QUICK
    log = DAGMM(reconstruction_features=features, **options).fit(rows_of())
    assert (np.diff(log.energy(FAR)) > 0).all()
    bounded = DAGMM(**options).fit(rows_of()).energy(FAR)
    assert np.ptp(bounded[-10:]) < 1e-2 * np.ptp(log.energy(FAR)[-10:])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((20, 3), np.nan), "NaN"),
        (np.full((20, 3), np.inf), "infinity"),
        (np.empty((0, 3)), "0 sample"),
        (rows_of(3), "lower n_components"),
        (rows_of(20)[:, :0], "0 feature"),
        (np.array([["a", "b"]] * 20), "could not convert"),
        (rows_of(20)[:, 0], "1D array"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        DAGMM(**(QUICK | {"n_components": 4})).fit(x)


def test_wrong_width_is_refused(fitted):
    with pytest.raises(ValueError, match="5 features"):
        fitted.energy(rows_of(width=5))


def test_huge_values_without_scaling_are_refused_with_the_remedy():
    x = rows_of()
    x[0, 0] = 1e30
    with pytest.raises(ValueError, match="scaling='robust'"):
        DAGMM(scaling="none", **QUICK).fit(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "best"}, "unknown preset .best."),
        ({"scaling": "log"}, "scaling='log'"),
        ({"n_components": 0}, "n_components=0"),
        ({"encoder_widths": ()}, "encoder_widths"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"jitter": 0.5}, "jitter=0.5"),
        ({"encoder_widths": 5}, "encoder_widths=5"),
        ({"encoder_widths": [8, 2.7]}, "encoder_widths"),
        ({"preset": None}, "unknown preset None"),
        ({"keep_best": "no"}, "keep_best='no'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"device": "cuda:99"}, "device='cuda:99'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        DAGMM(**options).fit(rows_of())


@pytest.mark.parametrize("contamination", [0.0, 0.6, "auto", None, True])
def test_contamination_must_be_a_share(contamination):
    with pytest.raises(ValueError, match="contamination="):
        DAGMM(contamination=contamination).fit(rows_of())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"engine": "jax"}, "engine='jax'"), ({"engine": "numpy", "device": "cuda"}, "CPU only")],
)
def test_unknown_engines_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DAGMM(**QUICK, **options).fit(rows_of())


def test_all_weights_zero_is_refused():
    with pytest.raises(ValueError, match="at least one non-zero"):
        DAGMM(**QUICK).fit(rows_of(), sample_weight=np.zeros(200))


def test_threads_do_not_change_an_energy(fitted):
    x = rows_of(n=5000, seed=4)
    with threadpool_limits(1, user_api="blas"):
        alone = fitted.energy(x)
    np.testing.assert_array_equal(fitted.energy(x), alone)


def test_a_value_that_cannot_be_scored_is_named_with_its_row():
    x = rows_of(n=5000, seed=4)
    x[4321, 2] = 1e300
    detector = DAGMM(scaling="standard", **QUICK).fit(rows_of())
    with pytest.raises(ValueError, match="row 4321, column 2"):
        detector.energy(x)


def test_explain_names_the_column_through_the_rotation():
    detector = DAGMM(**FAST, scaling="whitened", linear_path="pca", **QUICK).fit(rows_of())
    x = np.zeros((2, 4))
    x[0, 2], x[1, 0] = 30.0, -30.0
    shares = detector.explain(x).shares
    assert shares[0].argmax() == 2
    assert shares[1].argmax() == 0


def test_refinement_leaves_only_components_that_the_rows_support():
    rng = np.random.default_rng(0)
    two = np.concatenate([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 12.0])
    options = {"n_components": 4, "latent_scaling": "standardised", **QUICK}
    refined = DAGMM(refinement=20, **options).fit(two)
    assert refined.health_.effective_components == pytest.approx(2.0, abs=0.1)
    between = refined.energy(np.full((1, 3), 6.0))
    assert between > refined.energy(two).max()


def test_a_code_wider_than_the_table_has_no_principal_path():
    with pytest.raises(SettingsError, match="narrow the code"):
        DAGMM(**FAST, linear_path="pca", encoder_widths=(8, 5), **QUICK).fit(rows_of())
