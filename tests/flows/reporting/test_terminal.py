"""Pages on terminals of any width, and in pipes."""

import fcntl
import os
import re
import struct
import sys
import termios
from io import StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dagmm_model.evaluation.metrics import deployment_metrics
from flows.common.gate_results import Figure, GateResult
from flows.common.progress import note
from flows.common.readable import plural
from flows.reporting import screens
from flows.reporting.terminal import gates, labelled_sheet, markdown, sheet, show, styled
from flows.stages.decision import PromoteRecord
from flows.stages.records import EvaluateRecord, SanityRow

PASSED = GateResult(gate="evidence", passed=True, note="sha256 holds")
SILENT = GateResult(gate="approval", passed=True, measured=False, note="none asked for")
FAILED = GateResult(gate="recall floor", passed=False, note="recall 0.2, at least 0.6")
WAITING = GateResult(gate="approval", passed=False, waits=True, note="one is missing")


def printed(page, width: int = 80) -> list[str]:
    console = Console(file=StringIO(), width=width, highlight=False, markup=False)
    console.print(page)
    return console.file.getvalue().splitlines()


@given(
    st.lists(st.text("ab [/red]", min_size=1).filter(str.strip), min_size=1, max_size=30),
    st.integers(30, 120),
)
def test_text_never_runs_under_its_label(words, width):
    lines = printed(sheet([("Label", " ".join(words)), ("Other", "end")]), width)
    assert lines[0].startswith("Label")
    assert all(line.startswith(" " * 11) or not line.strip() for line in lines[1:-1])
    assert all(len(line) <= width for line in lines)


@given(st.integers(24, 120))
def test_words_are_broken_only_where_a_line_holds_no_whole_one(width):
    text = "false-alarm rate within the band that the calibration promises"
    lines = printed(sheet([("Label", text)]), width)
    assert " ".join(" ".join(lines).split()).removeprefix("Label ") == text


@given(st.integers(45, 120))
def test_a_path_longer_than_a_line_breaks_behind_a_slash(width):
    path = "/home/me/mlruns/artifacts/dagmm-pumps/4489394ea324487d817cdafafb25/reports/last.html"
    lines = [
        line.removeprefix("Report").strip() for line in printed(sheet([("Report", path)]), width)
    ]
    assert "".join(lines) == path
    assert all(line.endswith("/") for line in lines[:-1])


def test_what_failed_stands_first_and_what_passed_is_counted():
    lines = printed(gates([PASSED, SILENT, FAILED, WAITING]))
    assert "recall floor: failed" in lines[0]
    assert "approval: waits" in lines[1]
    assert lines[2].split() == [
        "1",
        "passed,",
        "1",
        "not",
        "measured:",
        "approval",
        "(--verbose",
        "shows",
        "all)",
    ]
    assert len(lines) == 3


def test_a_gate_that_waited_and_was_overridden_stands_once():
    forced = WAITING.model_copy(update={"overridden": "ann: it is late"})
    assert printed(gates([forced])) == [
        "! approval: overridden by ann: it is late – one is missing",
        "0 passed (--verbose shows all)",
    ]


def test_a_failed_gate_shows_the_figure_that_decided_and_with_verbose_the_others():
    beaten = Figure(name="difference from knn", value=-0.2, at_least=-0.02)
    ahead = Figure(name="difference from pca", value=0.6, at_least=-0.02)
    gate = GateResult(gate="simple", passed=False, figures=(ahead, beaten), note="beaten by knn")
    assert gate.compact(0)["figures"][0]["name"] == beaten.name
    (failed, _) = printed(gates([gate]), 200)
    assert failed.endswith("beaten by knn; difference from knn -0.2, at least -0.02")
    assert "difference from pca 0.6" in printed(gates([gate], verbose=True), 200)[0]


def test_verbose_lists_every_gate():
    text = "\n".join(printed(gates([PASSED, SILENT, FAILED], verbose=True)))
    assert all(gate.title in text for gate in (PASSED, SILENT, FAILED))
    assert "--verbose" not in text


@pytest.mark.parametrize("columns", [None, "", "0", "wide", "-80"])
def test_pipes_get_whole_lines_without_colours(capsys, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    show(sheet([("Label", "word " * 200), ("Promotion", screens.styled("rejected"))]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Label      " + ("word " * 200).strip()
    assert lines[1] == "Promotion  rejected"


@pytest.mark.parametrize(
    ("decision", "command"),
    [
        ("pending approval", "dagmm promote pumps 3 --approved-by YOU --reason WHY"),
        ("held", "dagmm promote pumps 3 --release --reason WHY"),
        ("rejected", "dagmm promote pumps 3 --rehearse --verbose"),
        ("promoted", "dagmm score ROWS.csv SCORED.csv --model models:/pumps@production"),
    ],
)
def test_next_is_the_command_that_the_decision_calls_for(decision, command):
    record = PromoteRecord(
        name="pumps", version=3, decision=decision, previous=2, gates=(PASSED,), reasons=()
    )
    page = "\n".join(printed(screens.decision(record), 120))
    assert re.search(rf"Next +{re.escape(command)}", page)
    tense = "before" if decision == "promoted" else "now"
    assert f"in production {tense}: v2" in page


def test_a_version_that_a_simple_detector_beats_is_told_what_to_train():
    beaten = GateResult(gate=screens.SIMPLE_DETECTORS, passed=False)
    for gate, expected in ((beaten, ["auto", "rehearse"]), (FAILED, ["rehearse"])):
        record = PromoteRecord(
            name="p", version=3, decision="rejected", previous=2, gates=(gate,), reasons=()
        )
        commands = list(screens.next_commands(record, contract="pumps.yaml"))
        assert [word for c in commands for word in ("auto", "rehearse") if word in c] == expected
        assert ("dagmm train pumps.yaml --detector auto" in commands[0]) is (gate is beaten)


def test_a_count_of_one_is_singular():
    assert plural(1, "epoch") == "1 epoch"
    assert plural(1200, "epoch") == "1,200 epochs"


def test_a_run_with_labels_says_what_training_changed():
    labels = np.arange(40) >= 30
    trained = labels + np.linspace(0, 0.5, 40)
    before = SanityRow(name="untrained", f1=0.0, roc_auc=0.0, average_precision=0.25)
    evaluated = EvaluateRecord(
        deployment=deployment_metrics(labels, trained, 0.9),
        known_ratio=None,
        slices=(),
        sanity=(before,),
        energies="e",
        sha256="0" * 64,
    )
    ((_, message),) = screens.training_effect(evaluated)
    assert message == "what training changed: ROC AUC +1.0000, average precision +0.7500"
    none = evaluated.model_copy(update={"sanity": ()})
    assert not list(screens.training_effect(none))


@given(st.integers(40, 120))
def test_lines_with_labels_hang_below_their_text(width):
    text = "Model      models:/pumps/1\n           - energies: PSI 6.140 (tolerated 0.1), p = 0"
    lines = printed(labelled_sheet(text), width)
    assert lines[0] == "Model      models:/pumps/1".ljust(len(lines[0]))
    assert all(line.startswith(" " * 11) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())


def on_a_terminal(monkeypatch, action) -> list[str]:
    """What is written to stdout and stderr, where they are a terminal of 40 columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    os.set_blocking(ours, False)
    with monkeypatch.context() as patch, os.fdopen(theirs, "w") as stream:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("DAGMM_PROGRESS", "on")
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        action()
        written = os.read(ours, 10_000).decode()
    os.close(ours)
    return written.replace("\r", "").splitlines()


def test_progress_breaks_between_words_and_goes_on_below_its_text(monkeypatch):
    text = "calibrate   0.1 s  split-conformal quantile of rows"
    lines = on_a_terminal(monkeypatch, lambda: note(text, 21))
    assert lines == ["  calibrate   0.1 s  split-conformal", " " * 21 + "quantile of rows"]


def test_markdown_is_set_on_a_terminal_and_left_alone_in_a_pipe(monkeypatch, capsys):
    text = "| detector | F1 |\n|---|---|\n| knn | 0.5 |"
    lines = on_a_terminal(monkeypatch, lambda: show(markdown(text)))
    assert any("knn" in line and "|" not in line for line in lines), lines
    show(markdown(text))
    assert capsys.readouterr().out.splitlines() == text.splitlines()


HOSTILE = "a\x1b]0;title\x07\x1b[2J\x1b[31mb\rc\x08\x9b31m\u202ed"


def test_what_data_holds_moves_no_cursor_and_colours_nothing(capsys):
    """A reason, a reviewer's note or a level may hold escape sequences."""
    show(sheet([("Reason", HOSTILE), ("Verdict", styled("promoted"))]))
    printed = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert "a\\x1b]0;title\\x1b[2J\\x1b[31mbc\\x9b31m\\u202ed" in printed


def test_styles_of_the_page_itself_stay(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    show(sheet([("Verdict", styled("promoted")), ("Reason", "\x1b[31mb")]))
    printed = capsys.readouterr().out
    assert "\x1b[1;32mpromoted" in printed
    assert "\\x1b[31mb" in printed


def test_lines_of_progress_are_as_safe(capsys):
    note(HOSTILE)
    assert "\x1b" not in capsys.readouterr().err
