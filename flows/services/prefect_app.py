"""Prefect's server behind a door: `python -m flows.services.prefect_app PORT`.

Prefect's own server lets every page that a browser shows talk to it, under any name that leads to
it. This one asks for the login of the home (Prefect's own check), and refuses requests under
foreign names or from foreign pages before Prefect sees them.
"""

import os
import sys

from flows.common.loading import undisturbed
from flows.services.door import Door

AUTH = "PREFECT_SERVER_API_AUTH_STRING"
CORS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"
SCRIPT = (
    "localStorage.setItem('prefect-password', btoa(decodeURIComponent(location.hash.slice(1))));"
    "location.replace('/');"
)
"""Prefect's pages look there for what their own login form asks for. What stands behind the # of
an address is never sent to a server, nor written into its log."""


def main(port: int) -> None:
    """Serve on loopback until a signal comes; the environment names database and login."""
    with undisturbed():
        import uvicorn
        from prefect.server.api.server import create_app

    app = Door(create_app(final=True), os.environ[AUTH], SCRIPT)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    main(int(sys.argv[1]))
