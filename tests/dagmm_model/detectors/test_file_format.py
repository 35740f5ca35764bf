"""A detector on disk is the same detector, and a damaged folder is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from dagmm_model import DAGMM, load_detector, save_detector
from dagmm_model.detectors.file_format import DetectorFileError

ROWS = np.random.default_rng(0).normal(size=(120, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    detector = DAGMM(epochs=4, members=2, encoder_widths=[6, 2], random_state=0).fit(ROWS)
    save_detector(detector, folder)
    np.save(folder / "energy.npy", detector.energy(ROWS))
    return folder


def test_energies_are_the_same_to_the_last_bit(folder):
    detector = load_detector(folder)
    np.testing.assert_array_equal(detector.energy(ROWS), np.load(folder / "energy.npy"))
    assert detector.settings_.members == 2
    assert detector.n_iter_ == len(detector.history_) == 4
    assert detector.predict(ROWS).shape == (120,)
    assert detector.explain(ROWS).shares.shape == ROWS.shape


def test_saved_again_it_is_the_same(folder, tmp_path):
    save_detector(load_detector(folder), tmp_path)
    for name in ("detector.json", "detector.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_feature_names_are_kept(tmp_path):
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=list("abcd"))
    save_detector(DAGMM(epochs=2, members=1).fit(frame), tmp_path)
    assert list(load_detector(tmp_path).feature_names_in_) == list("abcd")


def test_parameters_of_numpy_are_kept(tmp_path):
    options = {"n_components": np.int64(2), "encoder_widths": np.array([3, 1])}
    saved = DAGMM(epochs=2, members=1, random_state=np.int32(0), **options).fit(ROWS)
    save_detector(saved, tmp_path)
    np.testing.assert_array_equal(load_detector(tmp_path).energy(ROWS), saved.energy(ROWS))


def test_no_detector_is_refused(tmp_path):
    with pytest.raises(DetectorFileError, match="holds no readable detector"):
        load_detector(tmp_path)


@pytest.mark.parametrize("name", ["detector.json", "detector.safetensors"])
def test_a_damaged_file_is_refused(folder, tmp_path, name):
    for file in folder.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[: len(data) // 2] if file.name == name else data)
    with pytest.raises(DetectorFileError, match="holds no readable detector"):
        load_detector(tmp_path)


def test_another_format_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    description = json.loads((tmp_path / "detector.json").read_text()) | {"format": 99}
    (tmp_path / "detector.json").write_text(json.dumps(description))
    with pytest.raises(DetectorFileError, match="format 99"):
        load_detector(tmp_path)


def test_the_first_format_is_still_read(folder, tmp_path):
    """It had one detector, named in capitals, and none of the settings that ablations need."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    description = json.loads((tmp_path / "detector.json").read_text())
    description |= {"format": 1, "name": "DAGMM"}
    newer = ("mixture_term", "layer_epochs", "autoencoder_epochs", "freeze_compression")
    newer += ("initial_weights", "wide_code")
    for name in (*newer, "lambda_reconstruction", "final_mixture", "criterion"):
        del description["settings"][name], description["params"][name]
    (tmp_path / "detector.json").write_text(json.dumps(description))
    energies = load_detector(tmp_path).energy(ROWS)
    np.testing.assert_array_equal(energies, np.load(folder / "energy.npy"))


def test_an_unfitted_detector_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save_detector(DAGMM(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_members_with_different_numbers_of_components_are_kept(tmp_path):
    rows = np.concatenate([ROWS, ROWS + 9.0])
    detector = DAGMM(preset="paper", members=4, n_components=4, epochs=3, random_state=1)
    detector.set_params(refinement=20, latent_scaling="standardised").fit(rows)
    values, arrays = detector.state()
    for name in ("phi", "mu", "sigma"):
        arrays[f"mixture.0.{name}"] = arrays[f"mixture.0.{name}"][:1].copy()
    arrays["mixture.0.phi"][:] = 1.0
    detector = DAGMM.from_state(values, arrays)
    assert [len(mixture.phi) for mixture in detector.mixtures_[:2]] == [1, 4]
    save_detector(detector, tmp_path)
    np.testing.assert_array_equal(load_detector(tmp_path).energy(rows), detector.energy(rows))


def test_a_model_saved_before_there_were_views_scores_as_it_did():
    folder = Path(__file__).with_name("saved_before_views")
    detector = load_detector(folder)
    rows = np.random.default_rng(0).normal(size=(200, 4))[:20]
    expected = json.loads((folder / "energies.json").read_text())
    np.testing.assert_allclose(detector.energy(rows), expected, rtol=1e-9)
    assert detector.settings_.views == ("energy",)
