"""Data Docs as one page that stands on its own: a summary, then every expectation and its result.

Great Expectations' pages take style sheets, scripts, pictures and icons from half a dozen web
servers. Behind a firewall, or as an artifact in a tracking server, they come out bare and their
index empty; and every look at them would tell third parties. What they say is kept, these
references are not; nor are links from page to page, which a tracking server's frame leads nowhere.
"""

import json
import re
import shutil
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from great_expectations.core.expectation_validation_result import (
    expectationSuiteValidationResultSchema,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from data_checks.base.web_page import marked, unmarked, whole_page
from data_checks.contract.model import Contract
from data_checks.validation.report import ValidationReport

_FOREIGN = [
    re.compile(r"<script\b.*?</script>", re.DOTALL),
    re.compile(r"<link\b[^>]*https?://[^>]*>"),
    re.compile(r"<link\b[^>]*static/[^>]*>"),
    re.compile(r"<img\b[^>]*https?://[^>]*/?>"),
    re.compile(r"<footer>.*?</footer>", re.DOTALL),
    re.compile(r"<title>.*?</title>", re.DOTALL),
    re.compile(r"@font-face\s*{.*?}", re.DOTALL),
    re.compile(r"[\w-]+:[^;{}]*url\([^)]*https?://[^)]*\)[^;}]*;?"),
    re.compile(r"<br> Data asset: None"),
    re.compile(r"\son\w+=\"[^\"]*\""),
]


def write_page(index: Path, result: Any, contract: Contract, report: ValidationReport) -> None:
    """Write the page of one (merged) `ExpectationSuiteValidationResult`; its folder is its own."""
    shutil.rmtree(index.parent, ignore_errors=True)
    index.parent.mkdir(parents=True)
    index.write_text(_page(contract, report, _details(result)), encoding="utf-8")


def _details(result: Any) -> str:
    """What Great Expectations' page says, without what it takes from elsewhere.

    Its templates leave some texts as they are: all that comes from the table or its contract is
    marked before, and becomes entities afterwards.
    """
    # By way of JSON, in which a number is a plain one, and a missing value is one whatever it was.
    stored = json.loads(expectationSuiteValidationResultSchema.dumps(result.to_json_dict()))
    copy = expectationSuiteValidationResultSchema.load(marked(stored))
    renderer: Any = ValidationResultsPageRenderer()
    view: Any = DefaultJinjaPageView()
    html = view.render(renderer.render(copy))
    for pattern in _FOREIGN:
        html = pattern.sub("", html)
    body = html[html.index(">", html.index("<body")) + 1 : html.rindex("</body>")]
    # The bar on top leads to other pages only; so does one link among the facts of the run.
    body = body[body.index('<div class="container-fluid') :]
    return unmarked(re.sub(r'<a\b[^>]*href="\.\./[^>]*>(.*?)</a>', r"\1", body, flags=re.DOTALL))


def _page(contract: Contract, report: ValidationReport, details: str) -> str:
    numbers = [("rows read", report.rows_in), ("valid", report.rows_valid)]
    numbers.append(("in quarantine", report.rows_quarantined))
    if report.rows_anomalous is not None:
        numbers.append(("valid anomalies", report.rows_anomalous))
    numbers.append(("expectations", report.expectations))
    boxes = "".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in numbers)
    status = "passed" if report.passed else "failed"
    remark = ", with findings" if report.passed and report.failures else ""
    body = f"""<div class="page">
<h1>Data validation {status}{escape(remark)}</h1>
<div class="muted">{escape(contract.title or contract.name)} · contract {escape(contract.name)},
digest {report.contract_digest[:12]}</div>
<div class="verdict {status}">{escape(report.message)}</div>
<div class="numbers">{boxes}</div>
<h2>What was found</h2>
{_findings(report)}
{_quarantine_note(contract, report)}
<h2 id="details">Every expectation and its result</h2>
</div>{details}"""
    title = f"{contract.name}: data validation {status}"
    style = (files("data_checks.validation") / "docs_pages.css").read_text("utf-8")
    return whole_page(title, style, body, inline_styles=True)


def _findings(report: ValidationReport) -> str:
    if not report.failures:
        return "<p>Every expectation holds for every row.</p>"
    rows = "".join(
        f'<tr><td class="{failure.severity}">{failure.severity}</td>'
        f"<td>{escape(failure.place)}</td>"
        f'<td class="number">{failure.unexpected:,}</td><td>{escape(failure.message)}</td></tr>'
        for failure in report.failures
    )
    head = "<tr><th>severity</th><th>column</th><th>rows</th><th>finding</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _quarantine_note(contract: Contract, report: ValidationReport) -> str:
    if not report.rows_quarantined:
        return ""
    return (
        "<p>Rows that break a critical rule are kept in <code>quarantine.parquet</code>, each "
        f"with all of its reasons. Allowed are {contract.max_quarantine_share:.2%} of the rows. "
        "Row numbers count from 0 in the source.</p>"
    )
