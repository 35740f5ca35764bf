"""The page of a version: whole, escaped, without scripts, and never in the way of a decision."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from markupsafe import Markup, escape

from flows.common.gate_results import GateResult
from flows.promotion.promote import promote
from flows.promotion.rollback import roll_back
from flows.reporting import html
from flows.reporting.budget import TABLE
from flows.review import report
from flows.review.threshold.change import change_threshold
from flows.stages.decision import PromoteRecord
from flows.tracking import registry
from tests.flows import promotion_store as made
from tests.flows.review.conftest import quick_policy

NAME = made.NAME
HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.test/x>"


def check_page(page: str) -> None:
    """Nothing that runs, nothing from elsewhere, and a policy that forbids both."""
    assert "<script" not in page.lower()
    assert not re.search(r"\son\w+=", re.sub(r">[^<]*<", "><", page))
    assert all(source.startswith("data:") for source in re.findall(r'<img[^>]* src="([^"]+)', page))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert "default-src 'none'" in policy
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy  # else browsers would show it without any style
    assert "style=" not in page.replace("<style>", "")


def test_every_text_is_escaped():
    parts = html.templates().get_template("parts.html").module
    page = html.render(
        "trouble.html",
        HOSTILE,
        sentence=Markup().join(
            [
                parts.banner("bad", HOSTILE, [HOSTILE]),
                parts.banner(HOSTILE, HOSTILE),
                parts.quiet(HOSTILE),
                parts.table((HOSTILE,), [(HOSTILE, parts.mark(HOSTILE, HOSTILE))]),
                HOSTILE,
            ]
        ),
    )
    check_page(page)
    assert page.count("alert(&#39;x&#39;)") == 10


def told(client, version):
    """What the table of the runs says of a version."""
    run = client.get_run(client.get_model_version(NAME, str(version)).run_id).data.tags
    return run.get("dagmm.model_version"), run.get("dagmm.decision")


def test_the_table_of_the_runs_follows_a_rollback(store, served, new):
    settings, client = store
    version = new()
    for record in (
        promote(client, settings, NAME, version, by="t"),
        roll_back(client, settings, NAME, None, by="t", reason="too many"),
    ):
        assert report.write_version_report(client, settings, record)
    assert told(client, version) == (f"{NAME}/{version}", "withdrawn")
    assert told(client, served) == (f"{NAME}/{served}", "restored")


def test_the_page_of_a_training_holds_everything(store, new, parts):
    settings, client = store
    version = new()
    record = promote(client, settings, NAME, version, by="t")
    place = Path(report.write_version_report(client, settings, record))
    page = place.read_text()
    check_page(page)
    assert (place.parent / "latest.html").read_text() == page
    assert told(client, version) == (f"{NAME}/{version}", "promoted")
    for section in ("Gates", "Energies", "What another alert budget would do", "Losses"):
        assert f"<h2>{section}</h2>" in page
    for gate in record.gates:
        assert escape(gate.title) in page
    assert "p-value" in page
    assert re.search(r"worst \w+ \d+%", page)  # reasons
    run_id = registry.find_version(client, NAME, version).run_id
    note = client.get_run(run_id).data.tags["mlflow.note.content"]
    assert "/artifacts/reports/latest.html?workflowType=machine_learning)" in note
    assert "reports/latest.html" in registry.find_version(client, NAME, version).description
    report.write_version_report(client, settings, record)
    assert registry.find_version(client, NAME, version).description.count("Report: ") == 1


def with_rows_per_day(parts, rows):
    """What is changed in the evidence where whoever trained knew how many rows come in a day."""
    config = quick_policy(parts)["config"]
    return {"config": config | {"calibration": config["calibration"] | {"rows_per_day": rows}}}


def test_alarms_are_told_for_a_day_whose_rows_are_known(store, new, parts, tmp_path):
    settings, client = store
    without, daily = new(), new(**with_rows_per_day(parts, 24_000))
    pages = []
    for version in (without, daily):
        record = promote(client, settings, NAME, version, by="t")
        pages.append(Path(report.write_version_report(client, settings, record)).read_text())
    assert "False alarms of 1,000 normal rows" in pages[0]
    assert "False alarms a day, of 24,000 normal rows" in pages[1]
    expected = [page.partition("(in use)")[2].split("<td", 3)[2] for page in pages]
    of_1000, of_a_day = (float(re.search(r">([\d.]+) \[", cell)[1]) for cell in expected)
    assert of_a_day == pytest.approx(24 * of_1000, abs=1.3)  # both are shown rounded

    change = change_threshold(client, settings, f"{NAME}/{daily}", 0.02, by="t")
    run_id = registry.find_version(client, NAME, change.version).run_id
    table = Path(client.download_artifacts(run_id, TABLE, str(tmp_path))).read_text()
    assert "false_alarms_a_day" in json.loads(table)["columns"]


def test_the_page_of_a_rollback_is_short_and_leaves_the_one_with_the_figures(store, new):
    settings, client = store
    first, second = new(), new()
    for version in (first, second):
        place = report.write_version_report(
            client, settings, promote(client, settings, NAME, version, by="t")
        )
    with_figures = Path(place).with_name("latest.html").read_text()
    back = roll_back(client, settings, NAME, None, by="t", reason=HOSTILE)
    place = Path(report.write_version_report(client, settings, back))
    check_page(place.read_text())
    assert escape(HOSTILE) in place.read_text()
    assert "<img" not in place.read_text()
    assert "<img" in place.with_name("latest.html").read_text()
    assert "<img" in with_figures


def test_files_that_are_not_those_of_the_evidence_are_not_opened(store, new):
    settings, client = store
    version = new()
    model = Path(registry.find_version(client, NAME, version).source.removeprefix("file://"))
    (model / "artifacts" / "bundle" / "bundle.json").write_text("{}")
    record = promote(client, settings, NAME, version, by="t")
    assert record.decision == "rejected"
    page = Path(report.write_version_report(client, settings, record)).read_text()
    check_page(page)
    assert "were not opened" in page
    assert "Energies" not in page


def test_a_hostile_gate_and_a_hostile_reason(store, served):
    gate = GateResult(gate=HOSTILE, passed=False, note=HOSTILE)
    record = PromoteRecord(
        name=NAME,
        version=served,
        decision="rejected",
        previous=None,
        gates=(gate,),
        reasons=(HOSTILE,),
        remark=HOSTILE,
    )
    page = Path(report.write_version_report(store[1], store[0], record)).read_text()
    check_page(page)
    assert "evil.test" in page


@pytest.mark.parametrize("rehearsal", [True, False])
def test_where_nothing_was_decided_nothing_is_written(store, served, rehearsal):
    record = promote(store[1], store[0], NAME, served, by="t", rehearse=rehearsal)
    assert record.decision == "unchanged"
    assert report.write_version_report(*reversed(store), record) == ""


def test_a_report_that_cannot_be_written_does_not_undo_the_decision(store, served, capsys):
    gone = PromoteRecord(
        name=NAME, version=99, decision="promoted", previous=None, gates=(), reasons=("x",)
    )
    assert report.write_version_report(*reversed(store), gone) == ""
    assert "no report could be written" in capsys.readouterr().err


def test_the_head_of_the_page_says_what_was_overridden_and_by_whom(store, served):
    gate = GateResult(gate="ROC AUC floor", passed=False, overridden="ann: looked at by hand")
    record = PromoteRecord(
        name=NAME, version=served, decision="promoted", previous=None, gates=(gate,), reasons=()
    )
    page = Path(report.write_version_report(store[1], store[0], record)).read_text()
    head = page[: page.index("<h2>Gates</h2>")]
    assert "ROC AUC floor: overridden by ann: looked at by hand" in head
