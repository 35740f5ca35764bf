"""The server of the pages on which people judge rows: loopback, behind the login of the home.

Whoever may read the home may judge. A page of another server cannot send verdicts: the door takes
no request that another page began, and its cookie is not sent along with one.
"""

import getpass
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from flows.common import progress
from flows.common.errors import EXIT_DEFECT, UsageError, exit_code, message_of
from flows.common.settings import Settings
from flows.intake import form
from flows.intake.form import AskedReview, FormRow
from flows.services.door import Door, Lock, logging_in, login_page
from flows.services.embedded import Home
from flows.services.servers import next_free
from flows.verdicts import store
from flows.verdicts.estimates import known_verdicts
from flows.verdicts.reviews import list_reviews, read_review
from flows.verdicts.standing import WORDS, RowVerdict, newest_by_person

PORT = "DAGMM_VERDICTS_PORT"
SCRIPT = logging_in("location.replace('/');")
MOST_BYTES = 4_000_000
HEADERS = {
    # Beside the policy in the page: forms go here only, and nobody frames a page to have it clicked
    "content-security-policy": "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # With `no-referrer` a browser would say of its own page's form that it comes from nowhere.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
}


class Pages:
    """Answers of the server."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings, self._url, self._user = settings, url, getpass.getuser()

    def app(self) -> Starlette:
        """The application behind the door."""
        routes = [
            Route("/", self._answering(self._index)),
            Route("/review/{review}", self._answering(self._show)),
            Route("/review/{review}", self._answering(self._take), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _answering(self, work: Callable[[Request, bytes], Response]) -> Callable[..., object]:
        """The endpoint of some work, with one sentence for whatever goes wrong."""

        async def answer(request: Request) -> Response:
            body = b""
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    return _page(form.trouble("that is more than the form holds"), 413)
            try:
                return await run_in_threadpool(work, request, body)
            except Exception as error:
                if exit_code(error) == EXIT_DEFECT:
                    raise
                status = 400 if isinstance(error, UsageError) else 503
                return _page(form.trouble(message_of(error)), status)

        return answer

    def _index(self, _request: Request, _body: bytes) -> Response:
        return _page(form.index(list_reviews(self._url)))

    def _show(self, request: Request, _body: bytes) -> Response:
        asked = self._asked(request, request.query_params.get("who", self._user))
        if asked is None:
            return _page(form.trouble("there is no such review"), 404)
        added = request.query_params.get("added", "")
        return _page(form.review_form(asked, added=int(added[:9]) if added.isdecimal() else None))

    def _take(self, request: Request, body: bytes) -> Response:
        sent = dict(parse_qsl(body.decode("utf-8", "replace")))
        asked = self._asked(request, sent.get("who", ""))
        if asked is None:
            return _page(form.trouble("there is no such review"), 404)
        entries = {
            row.row_id: FormRow(
                sent.get(f"verdict.{row.row_id}", ""),
                sent.get(f"note.{row.row_id}", "").strip(),
                int(had) if (had := sent.get(f"had.{row.row_id}", "")[:18]).isdecimal() else 0,
            )
            for row in asked.rows
        }
        verdicts = {each.id: each for each in store.read_verdicts(self._url, asked.review.model)}
        try:
            given = _given(replace(asked, entries=entries), verdicts)
        except UsageError as error:
            page = form.review_form(replace(asked, entries=entries), trouble=str(error))
            return _page(page, 400)
        added = 0
        if given:
            from flows.intake.import_file import keep  # and MLflow, which takes seconds
            from flows.tracking import tracking

            source, digest = f"page of review {asked.review.id}", hashlib.sha256(body).hexdigest()
            submission = store.Submission(asked.review.model, source, digest, self._user)
            added = keep(tracking.connect(self._settings), self._url, submission, given)
        shown = urlencode({"who": asked.who, "added": added})
        return RedirectResponse(f"/review/{asked.review.id}?{shown}", 303, HEADERS)

    def _asked(self, request: Request, who: str) -> AskedReview | None:
        """A review as somebody sees it, with what they said last; None where there is none."""
        asked = read_review(self._url, request.path_params["review"])
        if asked is None:
            return None
        review, rows = asked
        who = _name(who)
        newest = newest_by_person(store.read_verdicts(self._url, review.model))
        mine = {key: people.pop(who) for key, people in newest.items() if who in people}
        entries = {
            row.row_id: FormRow(
                mine[row.row_key].verdict, mine[row.row_key].note, mine[row.row_key].id
            )
            for row in rows
            if row.row_key in mine
        }
        others = {key: tuple(people.values()) for key, people in newest.items()}
        _, live = known_verdicts(self._url, review.model, review.version)
        return AskedReview(review, rows, who, entries, others, live)


def _given(asked: AskedReview, verdicts: dict[int, RowVerdict]) -> list[RowVerdict]:
    """What changed: an entry that is sent back as it was filled in says nothing.

    So a page that has grown old takes nothing back that was said elsewhere meanwhile.

    Raises:
        UsageError: An entry cannot be used; the message names its row.
    """
    given: dict[str, tuple[int, RowVerdict]] = {}
    for row in asked.rows:
        entry, place = asked.entries[row.row_id], f"row {row.row_id}"
        had = verdicts.get(entry.had)
        if had and (had.row_key, had.who, had.verdict, had.note) == (
            *(row.row_key, asked.who, entry.word, entry.note),
        ):
            continue
        if not entry.word:
            if entry.note:
                raise UsageError(f"{place} has a note and no verdict; choose one, e.g. unsure")
            continue
        word = next((word for word in WORDS if word == entry.word), None)
        if word is None:
            raise UsageError(f"{place}: {entry.word!r} is not one of {', '.join(WORDS)}")
        if len(entry.note) > form.LONGEST_NOTE:
            raise UsageError(f"{place}: a note has at most {form.LONGEST_NOTE:,} characters")
        verdict = RowVerdict(
            *(row.row_key, row.row, word, asked.who, 0.0, entry.note),
            *(asked.review.version, row.energy, row.flagged, asked.review.id),
        )
        number, before = given.setdefault(row.row_key, (row.row_id, verdict))
        if before.verdict != word:
            raise UsageError(f"{place} has the values of row {number}, and another verdict")
    return [verdict for _, verdict in given.values()]


def _name(who: str) -> str:
    """Who judges.

    Raises:
        UsageError: Nobody could tell who that is.
    """
    name = who.strip()
    if not name or len(name) > form.LONGEST_NAME or not name.isprintable():
        raise UsageError(f"say who judges, in 1 to {form.LONGEST_NAME} characters")
    return name


def _page(content: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(content, status, HEADERS)


@contextmanager
def verdict_pages(settings: Settings) -> Iterator[str | None]:
    """The pages in a thread beside the block; gives the address that logs a browser in.

    None where only a server knows the database of the verdicts.
    """
    url = settings.verdicts_database
    if url is None:
        yield None
        return
    import uvicorn

    port = next_free(settings.verdicts_port, PORT, progress.note)
    auth = Home(settings).auth()
    door = Door(Pages(settings, url).app(), auth, SCRIPT, Lock(auth, port))
    config = uvicorn.Config(
        door, host="127.0.0.1", port=port, log_level="warning", lifespan="off", server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield login_page(f"http://127.0.0.1:{port}", auth)
    finally:
        server.should_exit = True
        thread.join(10)
