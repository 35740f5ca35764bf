"""Whoever changes the files of a registered model is found out before they are used."""

from __future__ import annotations

import json
import random
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dagmm_model.detectors.file_format import BundleError, load_bundle
from data_checks.contract.model import load_contract
from flows.common.errors import Verdict
from flows.common.features import model_input
from flows.drift.record import monitor
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.scoring.run import score
from flows.tracking import packaging, seal, tracking
from tests.flows import promotion_store as made
from tests.security.first_version import FIRST, QUICK


def model_of(client, version: int) -> Path:
    return Path(client.get_model_version(made.NAME, str(version)).source.removeprefix("file://"))


def bundle_of(client, version: int) -> Path:
    return model_of(client, version) / seal.BUNDLE


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def raise_the_threshold(bundle: Path) -> None:
    document = json.loads((bundle / "bundle.json").read_text())
    document["threshold"]["value"] += 1e6
    (bundle / "bundle.json").write_text(json.dumps(document))


def test_a_model_of_the_first_release_scores_as_it_did_and_is_rolled_back_to(
    settings, client, new, rows, tmp_path
):
    first, second = new(), new()
    out = tmp_path / "scored.parquet"
    report = score(str(rows), str(out), f"models:/{made.NAME}@production", settings)
    assert report.model == f"models:/{made.NAME}/{second}"
    assert report.scored == report.rows == pq.read_metadata(rows).num_rows
    recorded = pq.read_table(FIRST / "evaluation" / "test_energies.parquet").column("energy")
    np.testing.assert_allclose(
        pq.read_table(out).column("energy").to_numpy(), recorded.to_numpy(), rtol=1e-9
    )
    client.delete_registered_model_alias(made.NAME, "production")
    for version in (first, second):
        record = promote(client, settings, made.NAME, version, by="tester", policy=QUICK)
        assert record.decision == "promoted", record.reasons
    assert roll_back(client, settings, made.NAME, None, by="tester").version == first


@pytest.mark.parametrize("name", ["bundle.json", "detector/detector.safetensors", "contract.json"])
def test_a_changed_bundle_is_not_scored_with(settings, client, new, rows, tmp_path, name):
    file = bundle_of(client, new()) / name
    content = bytearray(file.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    file.write_bytes(content)
    out = tmp_path / "scored.parquet"
    with pytest.raises(seal.SealBroken, match="not those that were registered") as refused:
        score(str(rows), str(out), f"models:/{made.NAME}@production", settings)
    assert "\n" not in str(refused.value)
    assert not out.exists()
    with pytest.raises(seal.SealBroken):
        monitor(made.NAME, settings, data=str(rows))


def test_any_other_file_of_the_model_counts_as_well(settings, client, new, rows, tmp_path):
    (model_of(client, new()) / "added.py").write_text("print('here')")
    with pytest.raises(seal.SealBroken):
        score(str(rows), str(tmp_path / "o.csv"), f"models:/{made.NAME}@production", settings)


def test_what_loading_a_model_adds_does_not_count(settings, client, new, rows, tmp_path):
    model = model_of(client, new())
    (model / "registered_model_meta").write_text("model_name: x")
    (model / "code" / "__pycache__").mkdir(parents=True)
    (model / "code" / "__pycache__" / "x.pyc").write_bytes(b"x")
    score(str(rows), str(tmp_path / "o.csv"), f"models:/{made.NAME}@production", settings)


@pytest.mark.parametrize("name", ["evidence.json", "evaluation/reference.json"])
def test_a_changed_profile_is_not_compared_with(settings, client, new, rows, name):
    run = client.get_run(client.get_model_version(made.NAME, str(new())).run_id)
    file = Path(run.info.artifact_uri.removeprefix("file://")) / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(seal.SealBroken, match="changed after the registration"):
        monitor(made.NAME, settings, data=str(rows))


def test_a_version_without_a_seal_is_not_scored_with(settings, client, new, rows, tmp_path):
    client.delete_model_version_tag(made.NAME, str(new()), seal.EVIDENCE_TAG)
    with pytest.raises(seal.SealBroken, match="no sealed evidence"):
        score(str(rows), str(tmp_path / "o.csv"), f"models:/{made.NAME}@production", settings)


def test_files_that_are_gone_are_said_to_be_gone(settings, client, new, rows, tmp_path):
    shutil.rmtree(model_of(client, new()))
    with pytest.raises(seal.SealBroken, match="its files are gone"):
        score(str(rows), str(tmp_path / "o.csv"), f"models:/{made.NAME}@production", settings)


def test_judging_a_version_runs_no_code_of_the_model_in_production(
    settings, client, new, monkeypatch, tmp_path
):
    standing, candidate = new(), new()
    client.set_registered_model_alias(made.NAME, "production", str(standing))
    told = tmp_path / "told"
    code = model_of(client, standing) / "pyfunc_model.py"
    code.write_text(f"open({str(told)!r}, 'w').write('run')\n" + code.read_text())
    record = promote(client, settings, made.NAME, candidate, by="tester", policy=QUICK)
    assert record.decision == "rejected"
    [gate] = [g for g in record.gates if g.gate == "not worse than production"]
    assert "not those that were registered" in gate.sentence()
    assert not told.exists()


def test_an_intact_model_runs_none_of_its_code_in_our_process(
    settings, client, new, monkeypatch, tmp_path
):
    import mlflow

    standing, candidate = new(), new()
    client.set_registered_model_alias(made.NAME, "production", str(standing))
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda *a, **k: pytest.fail("code was run"))
    record = promote(client, settings, made.NAME, candidate, by="tester", policy=QUICK)
    assert record.decision == "promoted", record.reasons


def test_a_rollback_to_a_changed_version_is_refused(settings, client, new):
    first, second = new(), new()
    client.delete_registered_model_alias(made.NAME, "production")
    for version in (first, second):
        promote(client, settings, made.NAME, version, by="tester", policy=QUICK)
    raise_the_threshold(bundle_of(client, first))
    with pytest.raises(Verdict, match="not as promoted"):
        roll_back(client, settings, made.NAME, None, by="tester")
    assert int(client.get_model_version_by_alias(made.NAME, "production").version) == second


def test_evidence_that_is_no_json_is_a_changed_one(settings, client, new):
    version = new()
    client.delete_registered_model_alias(made.NAME, "production")
    run = client.get_run(client.get_model_version(made.NAME, str(version)).run_id)
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "evidence.json"
    file.write_bytes(b"\xff{")
    record = promote(client, settings, made.NAME, version, by="tester")
    assert record.decision == "rejected"
    [gate] = [g for g in record.gates if g.gate == "evidence"]
    assert "evidence.json was changed" in gate.sentence()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("bundle.json", {"value": float("nan")}),
        ("bundle.json", {"value": float("inf")}),
        ("bundle.json", {"value": "1.0"}),
        ("bundle.json", {"value": True}),
        ("bundle.json", {"target_rate": float("nan")}),
        ("bundle.json", {"nonsense": 1}),
    ],
)
def test_a_threshold_that_is_none_is_refused(tmp_path, file, change):
    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    document = json.loads((bundle / file).read_text())
    document["threshold"] |= change
    (bundle / file).write_text(json.dumps(document))
    with pytest.raises(BundleError):
        load_bundle(bundle)


def test_a_number_too_large_for_a_float_is_refused(tmp_path):
    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    edit(bundle / "bundle.json", '"value": ', '"value": 1e999, "was": ')
    with pytest.raises(BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '{"format": 1}', "[" * 100_000])
@pytest.mark.parametrize("file", ["bundle.json", "detector/detector.json"])
def test_a_description_that_is_none_is_refused(tmp_path, file, text):
    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    (bundle / file).write_text(text)
    with pytest.raises(BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize("value", [10**400, "x", []], ids=["huge", "text", "list"])
@pytest.mark.parametrize("file", ["bundle.json", "detector/detector.json"])
def test_whatever_stands_in_a_description_ends_in_no_other_error(tmp_path, file, value):
    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    document = json.loads((bundle / file).read_text())

    def changed(part):
        """The document with the value in each of its places, one after another."""
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part[:3]):
            part[key] = value
            yield document
            part[key] = inner
            if isinstance(inner, dict | list):
                yield from changed(inner)

    for each in changed(document):
        (bundle / file).write_text(json.dumps(each))
        with suppress(BundleError):
            load_bundle(bundle)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_parameter_that_is_no_number_is_refused(tmp_path, value):
    from safetensors.numpy import load_file, save_file

    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    for file in ("detector/detector.safetensors", "calibration.safetensors"):
        intact = load_file(bundle / file)
        for name, array in intact.items():
            changed = array.copy()
            changed.flat[0] = value
            save_file({**intact, name: changed}, bundle / file)
            with pytest.raises(BundleError):
                load_bundle(bundle)
        save_file(intact, bundle / file)


def test_a_flipped_bit_ends_in_no_other_error(tmp_path):
    bundle = Path(shutil.copytree(FIRST / "model" / seal.BUNDLE, tmp_path / "bundle"))
    chance = random.Random(0)
    for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
        intact = file.read_bytes()
        for _ in range(40):
            content = bytearray(intact)
            content[chance.randrange(min(len(content), 4000))] ^= 1 << chance.randrange(8)
            file.write_bytes(content)
            with suppress(BundleError):
                load_bundle(bundle)
        file.write_bytes(intact)


def test_a_damaged_model_is_not_served(settings, client, tmp_path):
    import mlflow

    bundle = FIRST / "model" / seal.BUNDLE
    contract = load_contract(bundle / "contract.json")
    example = model_input(pq.read_table(FIRST / "evaluation" / "test_rows.parquet"), contract)
    experiment = tracking.experiment_id(client, settings, "made for a test")
    run = client.create_run(experiment).info.run_id
    logged = packaging.log_model(bundle, contract, example[:5], run)
    where = client.get_logged_model(logged.model_id).artifact_location
    model = Path(where.removeprefix("file://"))
    assert len(mlflow.pyfunc.load_model(logged.model_uri).predict(example[:5])) == 5
    # A copy that was given another threshold on purpose is one of its own.
    copy = seal.fetch(client, logged.model_uri, tmp_path / "copy")
    raise_the_threshold(copy / seal.BUNDLE)
    other = packaging.log_copy(client, copy, client.create_run(experiment).info.run_id)
    assert len(mlflow.pyfunc.load_model(f"models:/{other}").predict(example[:5])) == 5
    raise_the_threshold(model / seal.BUNDLE)
    with pytest.raises(ValueError, match="not as it was logged"):
        mlflow.pyfunc.load_model(logged.model_uri)
