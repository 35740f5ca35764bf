"""Generated pages are fresh, links lead somewhere, every variable and command has its line."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def generator() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))  # as where it is run as a script
        return runpy.run_path(str(DOCS / "generate.py"))


GENERATED = ["configuration.md", "commands.md", "decisions/README.md", "first-table.md"]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_the_generator_writes(generator, name):
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == generator["PAGES"][name](), "run `make docs` and commit the result"


def test_every_generated_page_is_checked(generator):
    assert set(generator["PAGES"]) == set(GENERATED)


def test_every_environment_variable_of_ours_is_described():
    code = [
        f for room in ("flows", "dagmm_model", "data_checks") for f in (ROOT / room).rglob("*.py")
    ]
    read = {name for file in code for name in re.findall(r"\"(DAGMM_[A-Z_]+)\"", file.read_text())}
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert read
    assert {name for name in read if f"`{name}`" not in page} == set()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", t)) for t in titles]
    return {title.strip().lower().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    dead = []
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            dead.append(link)
    assert not dead


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


FILES = re.compile(r"`([\w/.]+\.(?:py|yaml|ini))`")
OURS = ("flows", "dagmm_model", "data_checks", "tests", "benchmarks", "docs", "deploy")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    known = {f"/{file.relative_to(ROOT)}" for room in OURS for file in (ROOT / room).rglob("*.*")}
    own = {"pumps.yaml", "edited.yaml", "train.yaml", "notify.yaml"}  # the reader's, in examples
    named = set(FILES.findall(page.read_text(encoding="utf-8"))) - own
    assert {name for name in named if not any(f.endswith(f"/{name}") for f in known)} == set()


@pytest.mark.parametrize("package", ["dagmm_model", "flows"])
def test_the_picture_shows_every_room(package):
    drawn = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")
    rooms = {file.parent.name for file in (ROOT / package).glob("*/__init__.py")}
    shown = set(re.findall(r"[a-z]+", " ".join(re.findall(r'class="code"[^>]*>([^<]*)<', drawn))))
    assert rooms
    assert rooms - shown == set()
