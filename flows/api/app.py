"""The endpoints. Each request takes the version that answers once, and stays with it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json

from dagmm_model.detectors.bundle import Explained
from flows.api import schema
from flows.api.answers import Asked, answer
from flows.api.bodies import JSON, request_columns
from flows.api.follower import Follower
from flows.api.guard import Guard
from flows.api.model import ServedModel
from flows.api.refusals import DEFECT, UNAVAILABLE, Refused, server_ending
from flows.api.telemetry.metrics import Metrics
from flows.api.workers import Workers
from flows.common.errors import UsageError
from flows.scoring.run import parse_reasons
from flows.shadow.worker import ShadowWorker

SMALL_BYTES = 8_192
"""A body up to here is worked on at once: the way to a thread and back takes longer than it."""
MODEL_HEADER = "X-Dagmm-Model"


def make_app(
    follower: Follower,
    guard: Guard,
    *,
    reference: str,
    max_rows: int,
    workers: Workers,
    shadow: ShadowWorker | None = None,
) -> FastAPI:
    """The application of one server.

    Args:
        follower: Gives the version that answers.
        guard: Lets requests through.
        reference: Model and alias that are followed, for messages.
        max_rows: Most rows of a request.
        workers: Score large requests.
        shadow: Is offered the rows that were answered.
    """
    app = FastAPI(title=f"dagmm api {reference}", docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics(follower, workers, shadow)

    async def answered(request: Request, reasons: str, *, in_full: bool) -> Response:
        """Answer the rows in the body: at once, or beside others where that takes a while."""
        endpoint = request.url.path
        try:
            guard.check(request)
            model = follower.current
            if model is None:
                sentence = f"no version of {reference} is served yet; /ready says why"
                raise Refused(503, UNAVAILABLE, sentence, "no version")
            content_type = request.headers.get("content-type", JSON)
            try:
                body = await guard.body(request)
                started = time.perf_counter()
                asked = Asked(content_type, max_rows, in_full, *_parsed(reasons))
                if len(body) <= SMALL_BYTES:
                    message, scores = answer(model, asked, body)
                else:
                    message, scores = await workers.answer(model, asked, body)
            except asyncio.CancelledError:  # by uvicorn, which has waited
                raise server_ending() from None
        except Refused as refused:
            metrics.request(endpoint, refused.status)
            metrics.refused(refused.why, refused.causes)
            return _refusal(refused)
        metrics.rows.add(model, scores)
        if shadow is not None:
            columns = partial(request_columns, body, content_type, model.names, max_rows)
            shadow.offer(model, lambda: columns()[0], scores.energy)
        metrics.request(endpoint, 200, time.perf_counter() - started)
        return Response(message, media_type=JSON, headers={MODEL_HEADER: model.uri})

    @app.post(
        "/score",
        responses={200: {"model": schema.ScoreAnswer}, **schema.REFUSALS},
        summary="Energy, p-value, verdict and reasons of each row",
    )
    async def score(
        request: Request,
        reasons: str = Query(
            "3", description="Columns named for each anomaly; none, or all for all rows"
        ),
    ) -> Response:
        return await answered(request, reasons, in_full=True)

    @app.post(
        "/invocations",
        responses={200: {"model": schema.Predictions}, **schema.REFUSALS},
        summary="As MLflow's own server answers: the same forms, the same columns",
    )
    async def invocations(request: Request) -> Response:
        return await answered(request, "none", in_full=False)

    async def guarded(request: Request, allowed: Callable[[], Response]) -> Response:
        try:
            guard.check(request)
        except Refused as refused:
            return _refusal(refused)
        return allowed()

    @app.get("/health", summary="Whether the process answers")
    @app.get("/ping", include_in_schema=False)
    async def health() -> Response:
        return Response(to_json({"status": "ok"}), media_type=JSON)

    @app.get("/ready", summary="Whether rows get a verdict, and by which version")
    async def ready(request: Request) -> Response:
        model, standing = follower.current, follower.standing
        trouble = standing.trouble
        if trouble and not guard.admits(request):  # it may name addresses and folders
            trouble = "there is some; ask with the token"
        said = {
            "ready": model is not None,
            "model": None if model is None else model.uri,
            "wanted_version": standing.wanted,
            "trouble": trouble,
        }
        return Response(to_json(said), 503 if model is None else 200, media_type=JSON)

    @app.get("/metrics", summary="For Prometheus")
    async def read_metrics(request: Request) -> Response:
        def latest() -> Response:
            return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

        return await guarded(request, latest)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return await guarded(
            request, lambda: Response(to_json(described(app, follower.current)), media_type=JSON)
        )

    @app.exception_handler(Exception)
    async def defect(request: Request, _error: Exception) -> Response:
        metrics.request(request.url.path, 500)
        sentence = "a defect of dagmm; its log has the details, please report it"
        return _refusal(Refused(500, DEFECT, sentence, "defect"))

    return app


def described(app: FastAPI, model: ServedModel | None) -> dict[str, Any]:
    """OpenAPI, with the schema of the contract and an example where a version is served."""
    version = "none" if model is None else str(model.number)
    document = get_openapi(title=app.title, version=version, routes=app.routes)
    if model is not None:
        document["components"]["schemas"]["Row"] = schema.row_schema(model.contract)
        for path, mlflow in (("/score", False), ("/invocations", True)):
            document["paths"][path]["post"]["requestBody"] = schema.request_body(
                model, mlflow=mlflow
            )
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def _parsed(reasons: str) -> tuple[Explained, int]:
    try:
        return parse_reasons(reasons)
    except UsageError as error:
        raise Refused(400, "INVALID_PARAMETER_VALUE", str(error), "malformed") from None


def _refusal(refused: Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
    if refused.status == 408:
        headers = {"Connection": "close"}  # what still comes would be read as the next request
    return Response(refused.body(), refused.status, headers, JSON)
