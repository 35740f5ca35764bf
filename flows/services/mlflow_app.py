"""MLflow's server behind a door: `python -m flows.services.mlflow_app PORT`.

MLflow's own server asks for no login, and takes requests from every page of this machine, whatever
port it comes from. Its login app keeps users in a database, for a team; a home has one owner, whose
login lies in it.
"""

import os
import sys

from flows.services.door import Door, Lock, logging_in

AUTH = "DAGMM_MLFLOW_LOGIN"
STORE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"
"""As MLflow's own command reads them."""
SCRIPT = logging_in(
    "{ localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
    " location.replace('/#/experiments?workflowType=machine_learning'); }"
)
"""MLflow opens the panel of its assistant in a browser that is new to it, over a quarter of every
page; here it waits for its button."""


def main(port: int) -> None:
    """Serve on loopback until a signal comes; the environment names stores and login."""
    import uvicorn
    from mlflow import server

    auth = os.environ.pop(AUTH)
    os.environ |= {
        server.BACKEND_STORE_URI_ENV_VAR: os.environ[STORE],
        server.REGISTRY_STORE_URI_ENV_VAR: os.environ[STORE],
        server.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        server.ARTIFACTS_DESTINATION_ENV_VAR: os.environ[ARTIFACTS],
        server.SERVE_ARTIFACTS_ENV_VAR: "true",
    }
    from mlflow.server.fastapi_app import app  # reads the environment

    lock = Lock(auth, port, free=("/health", "/version"))
    uvicorn.run(Door(app, auth, SCRIPT, lock), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
