"""What `mlflow models serve` runs, told later which model: `... -m flows.services.model_app ORDER`.

Loading the libraries takes longer than loading a model, so a process can be started before there
is one. It loads what is installed here and none of our own code: a model brings its code with it.
"""

import importlib
import json
import os
import shlex
import sys
import time
from pathlib import Path

from flows.common.loading import begin_with_libraries, undisturbed

LIBRARIES = (
    "mlflow.pyfunc.scoring_server",
    "uvicorn.main",
    "pyarrow.parquet",
    "sklearn.utils.validation",
    "numba.extending",
    "safetensors.numpy",
)
POLL_SECONDS = 0.02


def order(file: Path, model: Path, port: int) -> None:
    """Tell the process that watches a file what to serve, and where."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"model": str(model), "port": port}), encoding="utf-8")
    part.replace(file)


def get_ready() -> None:
    """Do what does not depend on the model: load libraries, start the compiler."""
    with undisturbed():
        for name in LIBRARIES:
            importlib.import_module(name)
        begin_with_libraries()


def main(file: Path) -> None:
    """Get ready, wait for the order, and serve on loopback until a signal comes."""
    get_ready()
    while not file.exists():
        time.sleep(POLL_SECONDS)
    told = json.loads(file.read_text(encoding="utf-8"))

    import uvicorn.main
    from mlflow.pyfunc import scoring_server

    command, environment = scoring_server.get_cmd(
        told["model"], told["port"], "127.0.0.1", nworkers=1
    )
    os.environ |= environment
    uvicorn.main.main(shlex.split(command)[1:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
