"""Pages made from hostile names, cells, labels and levels: parsed as a browser does."""

from __future__ import annotations

import json
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from data_checks.base.web_page import marked, unmarked
from data_checks.contract.model import Contract
from data_checks.contract.sections import Drift
from data_checks.drift import ColumnDrift, ColumnReference, DriftReference
from data_checks.sources.sources import ingest
from data_checks.validation.validation import validate
from flows.benchmarking.cells import Cell
from flows.benchmarking.results.summary import blocks
from flows.benchmarking.results.text import results_markdown, results_page
from flows.common.gate_results import GateResult
from flows.common.markdown import cell, inert, items
from flows.drift.comparison import DriftFinding, DriftReport
from flows.drift.page import History, render_page
from flows.drift.window import Window
from flows.promotion import card
from flows.reporting.summary import decision_card
from flows.stages.decision import PromoteRecord

ATTACK = "<svg onload=alert(1)>"
ATTACKS = (
    ATTACK,
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"><iframe src='javascript:alert(1)'>",
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
    "<!-- <style>",
    "$PARAMETER ${v__0} {{ 7*7 }} <b>",
    "<a href=javascript:alert(1)>",
    "</title><object data=x>",
)
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "div", "span", "p", "h1", "h2", "h3", "h4",
    "h5", "h6", "a", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "b", "strong",
    "br", "hr", "i", "img", "code", "nav", "em", "label", "input", "details", "summary", "button",
    "pre", "small", "section", "sup", "figure", "figcaption", "link", "colgroup", "col", "caption",
}  # fmt: skip


class Page(HTMLParser):
    """What a page holds: its texts, and whatever might run or fetch."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.bad: list[str] = []
        self.policy = -1
        self.tags = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags += 1
        named = {name: value or "" for name, value in attrs}
        if named.get("http-equiv", "").lower() == "content-security-policy":
            assert "script-src 'none'" in named["content"]
            self.policy = self.tags
        if tag not in ALLOWED:
            self.bad.append(f"<{tag}>")
        for name, value in named.items():
            address = name in ("href", "src", "data", "action", "formaction")
            inner = value.startswith(("#", "data:image/"))
            if name.startswith("on") or (address and not inner and ":" in value):
                self.bad.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def check(self) -> str:
        """Nothing runs, and the policy stands before all but the page's own first tags."""
        assert self.bad == []
        assert 0 < self.policy <= 4
        return " ".join("".join(self.texts).split())


def test_marks_are_entities_and_nothing_is_lost() -> None:
    for attack in ATTACKS:
        html = unmarked(f"<p title='{marked(attack)}'>{marked(attack)}</p>")
        page = Page(html)
        assert page.bad == []
        assert "".join(page.texts) == attack
    [text, (sign, number), nothing] = marked({"k": ["<b>", ("&", 1), None]})["k"]
    assert (unmarked(text), unmarked(sign), number, nothing) == ("&lt;b&gt;", "&amp;", 1, None)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data Docs of a table in which every name, cell, label, level and rule is an attack."""
    folder = tmp_path_factory.mktemp("docs")
    rows = 40
    rng = np.random.default_rng(0)
    columns: list[dict[str, object]] = []
    table: dict[str, object] = {}
    for i, attack in enumerate(ATTACKS):
        name = f"{attack} {i}"
        kind = ("numeric", "categorical", "identifier", "boolean")[i % 4]
        more: dict[str, object] = {}
        values: list[object] = rng.normal(size=rows).tolist()
        if kind == "numeric":
            more = {"minimum": 0, "meaning": attack, "unit": attack}
            values[0] = attack
        elif kind == "categorical":
            more = {"vocabulary": [attack, "b"]}
            values = [attack if j % 2 else ATTACKS[j % len(ATTACKS)] for j in range(rows)]
        elif kind == "identifier":
            values = [f"{attack} {j // 2}" for j in range(rows)]
        else:
            values = ["true" if j % 3 else attack for j in range(rows)]
        columns.append({"name": name, "type": kind, **more})
        table[name] = values
    label = f"{ATTACK} label"
    table[label] = [ATTACKS[j % len(ATTACKS)] for j in range(rows)]
    first = columns[0]["name"]
    contract = Contract.model_validate(
        {
            "name": "attack",
            "title": ATTACK,
            "source": {"kind": "csv", "file": "t.csv"},
            "columns": columns,
            "label": {"column": label, "normal": [ATTACK], "anomalous": list(ATTACKS[1:3])},
            "anomaly_ratio": 0.9,
            "rules": [
                {"name": ATTACK, "check": f"col({json.dumps(first)}) > 0", "meaning": ATTACK}
            ],
            "max_quarantine_share": 1.0,
        }
    )
    pd.DataFrame(table).to_csv(folder / "t.csv", index=False)
    record = ingest(contract, folder / "t.parquet", data_dir=folder)
    validate(Path(record.path), contract, folder / "out")
    return folder / "out" / "data_docs"


def test_data_docs_of_hostile_names_and_cells(docs: Path) -> None:
    (path,) = docs.rglob("*.html")
    html = path.read_text(encoding="utf-8")
    assert html.count("default-src 'none'; script-src 'none'") == 1
    text = Page(html).check()
    assert "&lt;svg" not in text, "escaped twice"
    assert not set(html) & set("\ue000\ue001\ue002\ue003\ue004")
    assert ATTACK in text
    assert "</script><script>alert(1)</script>" in text


@pytest.mark.parametrize("name", [ATTACK, r"$\frac$", "$_$", "温度 🌡", "x" * 400])
def test_the_drift_page_of_hostile_names(name: str) -> None:
    counts = (5, 5, 0, 0)
    column = ColumnDrift(
        column=name, psi=0.5, p_value=0.001, distance=None, unseen_share=0.0, missing_share=0.0,
        reference_missing_share=0.0, verdict="critical", message=f"'{name}': PSI",
    )  # fmt: skip
    known = ColumnReference(name=name, levels=(name, ATTACKS[1]), counts=counts)
    reference = DriftReference(
        contract="attack", contract_digest="0" * 64, rows=10, columns=(known,)
    )
    report = DriftReport(
        model=ATTACK, source=ATTACKS[2], time=0.0, verdict="critical",
        findings=(DriftFinding(ATTACKS[3], "warning", ATTACKS[4]),), columns=(column,),
        figures={"rows": 10.0},
    )  # fmt: skip
    window = Window({name: np.array(counts)}, np.empty(0), 0, {name: 1}, None, ATTACKS[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = render_page(report, window, None, reference, Drift(), History((), (), ()))
    text = Page(html).check()
    for attack in (name, ATTACK, *ATTACKS[2:5]):
        assert " ".join(attack.split()) in text


def test_the_benchmark_page_of_hostile_names() -> None:
    cells = [
        Cell(attack, "paper", False, seed, detector, f1=0.5, roc_auc=0.5, ap=0.5, reason="")
        for attack in ATTACKS[:3]
        for seed in range(3)
        for detector in (ATTACKS[1], "dagmm")
    ]
    cells.append(Cell(ATTACK, "paper", False, 9, "dagmm", reason=ATTACKS[2]))
    text = Page(results_page(blocks(cells), {}, [ATTACKS[3], ATTACKS[4]], None)).check()
    assert ATTACK in text
    assert ATTACKS[2] in text


MARKDOWN = (
    *ATTACKS,
    "![x](http://evil.example/x.png)",
    "[all is well](http://evil.example)",
    "[a\\](http://evil.example)",
    "[a] (http://evil.example)",
    "[a]:http://evil.example",
    "x\n\n[a]: http://evil.example",
    "<http://evil.example>",
    "`]` [a][b] **bold** # title | cell",
)


def _shown(markdown: str) -> Page:
    """A description as a page shows it that lets HTML through; its policy is the server's."""
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


def test_words_of_others_are_words_in_descriptions() -> None:
    for attack in MARKDOWN:
        table = ["| a | b |", "|---|---|", f"| {cell(attack)} | {cell('x' + attack)} |"]
        listed = [*items([attack, f"said {attack}"]), "", "[a] ![a] [b][a]"]
        for text in (inert(attack), "\n".join(listed), "\n".join(table)):
            assert _shown(text).bad == []
    assert "<svg onload=alert(1)> | x" in " ".join(_shown(inert(f"{ATTACK} | x")).texts)


def test_decisions_and_cards_of_hostile_names() -> None:
    for attack in MARKDOWN:
        gate = GateResult(gate="slices", part=attack, passed=False, note=attack, overridden=attack)
        for gates in ((gate,), ()):
            record = PromoteRecord(
                name="dagmm-x", version=1, previous=None, decision="rejected", gates=gates,
                reasons=(attack,), remark=attack,
            )  # fmt: skip
            for text in (card.decision_markdown(record), decision_card(record)):
                assert _shown(text).bad == []
                assert "evil.example" in text or "evil" not in attack
    cells = [Cell(a, "paper", False, s, "dagmm", f1=0.5) for a in MARKDOWN for s in range(2)]
    assert _shown(results_markdown(blocks(cells), [], [])).bad == []
