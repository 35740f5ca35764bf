"""A flow that is called from Python without a Prefect server uses that of the home.

By itself Prefect would start a temporary server, which asks nobody for a login and answers every
page that a browser shows.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from flows.common.settings import Settings, make_private

P = ParamSpec("P")
R = TypeVar("R")


class HomeFlow(Flow[P, R]):
    """A flow whose calls find a server."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Run it; Prefect's settings name a server, or the home's is used.

        Without heartbeats, which tell a server of a run that died far away: whoever calls sees it,
        and would wait at the end for Prefect's thread, which looks up once a second.
        """
        with ExitStack() as stack:
            if not PREFECT_API_URL.value():
                from flows.services.embedded import prefect_server

                settings = Settings()
                make_private(settings.home)
                stack.enter_context(prefect_server(settings))
            stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
            return super().__call__(*args, **kwargs)

    def with_options(self, *args: Any, **kwargs: Any) -> HomeFlow[P, R]:  # type: ignore[override]
        """A copy with other options, which finds a server, too."""
        return at_home(super().with_options(*args, **kwargs))


def at_home(flow: Flow[P, R]) -> HomeFlow[P, R]:
    """Have calls of a flow use the server of the home where no other is configured."""
    # Prefect reads the decorator `@flow` in the source of a deployment, so it stays what it is.
    flow.__class__ = HomeFlow
    return flow  # type: ignore[return-value]
