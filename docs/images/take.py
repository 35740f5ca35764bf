"""Retakes the pictures of the documentation, from pages that are served now.

    pip install playwright
    python docs/images/take.py --browser /usr/bin/chromium

Four trainings of WDBC in a home of its own, a window of rows that has drifted, a batch with a
review; then `dagmm ui`, and a browser without a profile. At last a training that waits for an
approval, and `dagmm serve`. Some minutes.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_breast_cancer

HERE = Path(__file__).parent
WIDE = {"width": 1440, "height": 900}
TRAININGS = (
    ("seed=0",),
    ("seed=1",),
    ("seed=0", "detector.settings.epochs=50"),
    ("seed=0", "detector.settings.learning_rate=0.0003"),
)


def dagmm(home: Path, *arguments: str) -> None:
    """Run a command beside the home; a verdict that fails is a result, too."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    environment = {**os.environ, "DAGMM_HOME": str(home)}
    done = subprocess.run(command, env=environment, cwd=home.parent, check=False)  # noqa: S603
    if done.returncode > 1:
        raise SystemExit(f"dagmm {' '.join(arguments)} ended with {done.returncode}")


def fill(home: Path) -> None:
    """A home worth looking at."""
    for settings in TRAININGS:
        dagmm(home, "train", "wdbc", *(f"--set={each}" for each in settings))
    rows, _ = load_breast_cancer(return_X_y=True, as_frame=True)
    rows.to_csv(home.parent / "today.csv", index=False)
    rows[rows.columns[:3]] *= 1.3
    rows.to_csv(home.parent / "drifted.csv", index=False)
    dagmm(home, "monitor", "dagmm-wdbc", "--data", "drifted.csv")
    dagmm(home, "score", "today.csv", "scored.csv", "--model", "dagmm-wdbc", "--review", "10")


@contextmanager
def served(home: Path, command_name: str = "ui", logins: int = 3) -> Iterator[dict[str, str]]:
    """Addresses of `dagmm ui` or `serve` that log a browser in, by name."""
    command = [sys.executable, "-u", "-m", "flows.cli", command_name]
    environment = {**os.environ, "DAGMM_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        addresses: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            if login := re.match(r"(\w+)\s+(http://\S+/dagmm-login#\S+)", line):
                addresses[login[1].lower()] = login[2]
            if len(addresses) == logins:
                break
        try:
            yield addresses
        finally:
            process.terminate()


def main() -> None:
    """Fill a home, serve it, take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--browser", help="path of a Chromium; playwright's own unless given")
    parser.add_argument("--home", type=Path, help="one that `fill` has filled; a new one else")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = asked.home or Path(folder) / "home"
        if asked.home is None:
            fill(home)
        options: dict[str, Any] = {"executable_path": asked.browser, "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        with served(home) as logins:
            page = browser.new_context(viewport=WIDE, device_scale_factor=1).new_page()
            mlflow(page, logins["mlflow"])
            ours(page, home, logins["verdicts"])
        dagmm(home, "train", "wdbc", "--set=seed=1", "--set=promotion.approvals=1")
        with served(home, "serve", 1) as logins:
            approval(browser.new_context(viewport=WIDE).new_page(), logins["prefect"])
        browser.close()


def mlflow(page: Page, login: str) -> None:
    """The run table, two runs compared, the losses of all, and the model."""
    base = login.partition("/dagmm-login")[0]
    page.goto(login)
    page.get_by_text("dagmm-wdbc", exact=True).first.wait_for()
    runs = f"{base}/#/experiments/1/runs?viewStateShareKey=dagmm&workflowType=machine_learning"
    page.goto(runs)
    boxes = page.locator('input[aria-label^="Press Space to toggle row"]')
    boxes.nth(3).wait_for()
    boxes.nth(0).check()
    boxes.nth(1).check()
    take(page, "runs-selected", 205, 10, 1225, 480)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("switch", name="Parameters - Show diff only").click()
    page.get_by_text("Parameters", exact=True).first.scroll_into_view_if_needed()
    take(page, "parameters-that-differ", 205, 10, 1225, 880)
    page.goto(f"{runs}&compareRunsMode=CHART")
    page.get_by_role("searchbox").or_(page.get_by_placeholder("Search metric charts")).last.fill(
        "loss"
    )
    take(page, "losses-overlaid", 205, 10, 1225, 880)
    page.goto(f"{base}/#/models/dagmm-wdbc?workflowType=machine_learning")
    page.get_by_text("Version 4").first.wait_for()
    take(page, "model", 205, 10, 1225, 800)


def ours(page: Page, home: Path, verdicts: str) -> None:
    """A decision's report, a check that found drift, and the rows of a review."""
    for name, pattern in (("report", "*-promoted.html"), ("monitoring", "*.html")):
        folder = "dagmm-wdbc" if name == "report" else "monitoring"
        file = max((home / "artifacts" / folder).rglob(f"reports/{pattern}"))
        page.goto(file.resolve().as_uri())
        take(page, name, 160, 10, 1120, 890)
    page.goto(verdicts)
    page.locator('a[href^="/review/"]').first.click()
    take(page, "review", 160, 105, 1120, 700)


def approval(page: Page, login: str, version: str = "5") -> None:
    """The form on which the flow `promote` waits, filled in."""
    page.goto(login)
    page.get_by_role("link", name="Deployments").click()
    page.get_by_text("by-hand", exact=True).click()
    page.get_by_role("button", name="Run").click()
    page.get_by_text("Custom run").click()
    page.locator("input[type=number]").first.fill(version)
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="View run").click()
    page.get_by_text("Paused", exact=True).first.wait_for(timeout=300_000)
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("Select", exact=True).click()
    page.get_by_role("option", name="approve").click()
    form.locator("textarea").nth(0).fill("ann")
    form.locator("textarea").nth(1).fill("finds more, at a rate that we can look at")
    take(page, "approval", 440, 75, 560, 750)


def take(page: Page, name: str, left: int, top: int, width: int, height: int) -> None:
    """Keep a part of what is seen, once it stands still."""
    page.wait_for_timeout(4000)
    place: Any = {"x": left, "y": top, "width": width, "height": height}
    file = HERE / f"{name}.png"
    page.screenshot(path=str(file), clip=place)
    PIL.Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    main()
