"""Rows judged in a browser: what a form sends is what `dagmm verdicts` would have taken."""

import json
import re
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from flows.intake.pages import PORT, SCRIPT, Pages, verdict_pages
from flows.services.door import Door, Lock
from flows.services.servers import next_free
from flows.verdicts import store as verdicts
from flows.verdicts.reviews import list_reviews, read_review
from tests.flows import promotion_store as made
from tests.flows.verdicts.made import MODEL, row_verdict, sent
from tests.security.test_pages import ATTACK, ATTACKS, Page

ADDRESS, LOGIN = "http://127.0.0.1:5050", "dagmm:secret"
REVIEW = verdicts.Review("r1", MODEL, 3, f"{ATTACK}.csv", 1e9, 2.5, 40, 360)


def browser(settings, url) -> TestClient:
    """A browser that is logged in, before the pages of a database."""
    door = Door(Pages(settings, url).app(), LOGIN, SCRIPT, Lock(LOGIN, 5050))
    client = TestClient(door, base_url=ADDRESS, follow_redirects=False)
    assert client.get("/").status_code == 401
    assert client.post("/dagmm-login", content=LOGIN).status_code == 204
    return client


@pytest.fixture
def judged(store, batch):
    """The pages of a scored batch."""
    url = store[0].verdicts_database
    (listed,) = list_reviews(url)
    review, rows = read_review(url, listed.review.id)
    return SimpleNamespace(
        url=url,
        path=f"/review/{review.id}",
        rows=rows,
        client=browser(store[0], url),
        kept=lambda: verdicts.read_verdicts(url, made.NAME),
    )


@pytest.fixture
def hostile(tmp_path, store):
    """The pages of a review in which every text is an attack."""
    url = f"sqlite:///{tmp_path / 'verdicts.db'}"
    row = json.dumps({ATTACK: ATTACK, "gap": None})
    rows = [
        verdicts.ReviewRow("r1", number, f"{number:064x}", row, 9.0, True, attack)
        for number, attack in enumerate(ATTACKS)
    ]
    verdicts.add_review(url, REVIEW, rows)
    verdicts.add_verdicts(
        url, sent(), [row_verdict(0, who=ATTACK), row_verdict(1, who="ann", note=ATTACKS[4])]
    )
    return browser(store[0], url)


def form(page: str) -> dict[str, str]:
    """What a browser sends of a page on which nothing was changed."""
    inside = page.partition('<form method="post"')[2]
    fields = {}
    for tag in re.findall(r"<input [^>]*>", inside):
        name, value = (re.search(rf' {part}="([^"]*)"', tag) for part in ("name", "value"))
        if 'type="radio"' not in tag or " checked" in tag:
            fields[name[1]] = value[1]
    return fields


def send(judged, who="ann", **changes):
    """Open the page, fill something in, and send it."""
    fields = form(judged.client.get(judged.path, params={"who": who}).text)
    return judged.client.post(judged.path, data=fields | changes)


def word(row, verdict, note=""):
    return {f"verdict.{row.row_id}": verdict, f"note.{row.row_id}": note}


def test_the_list_leads_to_the_rows_that_were_asked_for(judged, batch):
    index = judged.client.get("/").text
    assert f'href="{judged.path}"' in index
    page = judged.client.get(judged.path).text
    assert len(judged.rows) == batch.anomalies + 20
    assert page.count('value="anomaly"') == len(judged.rows)
    assert [row.flagged for row in judged.rows] == [True] * batch.anomalies + [False] * 20
    for row in judged.rows:
        assert bool(row.reasons) == row.flagged
        assert row.reasons in page


def test_what_is_sent_is_kept_and_shown_again(judged, store):
    alert, below = judged.rows[0], judged.rows[-1]
    answer = send(judged, **word(alert, "anomaly", "valve"), **word(below, "normal"))
    assert answer.status_code == 303
    page = judged.client.get(answer.headers["location"]).text
    assert "2 verdicts added" in page
    assert "of 1 judged alerts" in page
    first, second = judged.kept()
    assert (first.row_key, first.verdict, first.who, first.note) == (
        *(alert.row_key, "anomaly", "ann", "valve"),
    )
    assert (second.row_key, second.flagged, second.version) == (below.row_key, False, 1)
    assert "dagmm.verdicts" in store[1].get_registered_model(made.NAME).tags
    assert form(page)[f"verdict.{alert.row_id}"] == "anomaly"
    assert "added=0" in send(judged).headers["location"]
    assert len(judged.kept()) == 2


def test_a_page_that_has_grown_old_takes_nothing_back(judged):
    row, other = judged.rows[:2]
    send(judged, **word(row, "anomaly"))
    old = form(judged.client.get(judged.path, params={"who": "ann"}).text)
    send(judged, **word(row, "normal"))
    judged.client.post(judged.path, data=old | word(other, "unsure"))
    assert [v.verdict for v in judged.kept()] == ["anomaly", "normal", "unsure"]


def test_what_another_says_is_theirs(judged):
    row = judged.rows[0]
    send(judged, **word(row, "anomaly"))
    page = judged.client.get(judged.path, params={"who": "bob"}).text
    assert f"verdict.{row.row_id}" not in form(page)
    assert "ann: anomaly" in page
    assert "added=1" in send(judged, "bob", **word(row, "anomaly")).headers["location"]
    assert {v.who for v in judged.kept()} == {"ann", "bob"}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (lambda row: word(row, "fine"), "row {}: &#39;fine&#39; is not one of anomaly, normal"),
        (lambda row: word(row, "", "odd"), "row {} has a note and no verdict"),
        (lambda row: word(row, "normal", "x" * 1_001), "row {}: a note has at most 1,000"),
        (lambda _row: {"who": " "}, "say who judges"),
        (lambda _row: {"who": "ann\x1b[2J"}, "say who judges"),
    ],
)
def test_a_form_that_cannot_be_taken_says_why_and_nothing_of_it_is(judged, entry, why):
    row, other = judged.rows[0], judged.rows[1]
    answer = send(judged, **{**word(other, "anomaly", "mine"), **entry(row)})
    assert answer.status_code == 400
    assert why.format(row.row_id) in answer.text
    assert judged.kept() == ()
    if "note" in why or "none of" in why:  # what was filled in is still there
        assert form(answer.text)[f"note.{other.row_id}"] == "mine"


def test_what_is_no_page_is_said_in_one(judged):
    assert judged.client.get("/review/r0").status_code == 404
    assert judged.client.post("/review/r0", data={"who": "ann"}).status_code == 404
    assert judged.client.get("/elsewhere").status_code == 404
    assert judged.client.delete(judged.path).status_code == 405
    assert judged.client.post(judged.path, content=b"x" * 4_000_001).status_code == 413


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:5000"])
def test_no_page_of_another_server_gives_verdicts(judged, origin):
    row = judged.rows[0]
    data = {"who": "ann", **word(row, "normal")}
    answer = judged.client.post(judged.path, data=data, headers={"Origin": origin})
    assert answer.status_code == 403
    assert judged.kept() == ()
    own = {"Origin": ADDRESS}
    assert judged.client.post(judged.path, data=data, headers=own).status_code == 303
    judged.client.cookies.clear()
    assert judged.client.post(judged.path, data=data, headers=own).status_code == 401


def test_nothing_on_a_page_runs(hostile):
    for path in (
        "/",
        "/review/r1?who=ann",
        f"/review/{ATTACK}",
        "/review/r1?who=%3Csvg%3E&added=7",
    ):
        answer = hostile.get(path)
        page = Page(answer.text)
        page.bad = [each for each in page.bad if each != "<form>"]
        page.check()
        assert "script-src 'none'" in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    texts = Page(hostile.get("/review/r1?who=ann").text).texts
    for attack in ATTACKS:
        assert attack in texts
    assert f"{ATTACK}: normal" in texts


def test_a_database_that_is_away_is_one_sentence(store):
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/none"
    answer = browser(store[0], url).get("/")
    assert answer.status_code == 503
    assert "127.0.0.1:1" in answer.text
    assert "secret" not in answer.text


def test_the_pages_answer_for_as_long_as_they_are_wanted(store):
    import httpx

    settings = store[0].model_copy(update={"verdicts_port": next_free(20_050, PORT, print)})
    with verdict_pages(settings) as address:
        base, _, login = address.partition("/dagmm-login#")
        with httpx.Client(base_url=base) as client:
            assert client.get("/").status_code == 401
            assert client.post("/dagmm-login", content=login).status_code == 204
            assert "There are none yet" in client.get("/").text
    with pytest.raises(httpx.ConnectError):
        httpx.get(base)
    served = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
    with verdict_pages(served) as address:
        assert address is None
