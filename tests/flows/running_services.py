"""The team set-up as a test runs it: `dagmm services run` in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.services.keeper import end_with_parent
from flows.services.servers import free_port
from tests.temporary import open_folder

START_SECONDS = 240


@dataclass
class Services:
    """A set-up that can be started, asked and stopped; `environment` is that of its operator."""

    dagmm: Path
    home: Path
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        ports = ("DAGMM_MLFLOW_PORT", "DAGMM_PREFECT_PORT", "DAGMM_POSTGRES_PORT")
        kept = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        self.environment = kept | {name: str(free_port()) for name in ports}
        self.environment |= {"DAGMM_HOME": str(self.home), "DAGMM_SERVICES_HOME": str(self.home)}

    @property
    def client(self) -> dict[str, str]:
        """Environment of somebody who uses the services."""
        return dict(os.environ) | json.loads(self.run("env", "--json").stdout)

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.dagmm, "services", *arguments],
            env=self.environment | changes,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def status(self) -> dict[str, bool]:
        actual = self.run("status", "--json")
        return {each["service"]: each["up"] for each in json.loads(actual.stdout)}

    def start(self) -> None:
        log = (self.home / "services.log").open("ab")
        self.process = subprocess.Popen(
            [self.dagmm, "services", "run"],
            env=self.environment,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not all(self.status().values()):
            assert self.process.poll() is None, (self.home / "services.log").read_text()
            assert time.monotonic() < deadline, (self.home / "services.log").read_text()
            time.sleep(1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(300)


@contextmanager
def set_up(dagmm: Path) -> Iterator[Services]:
    """A set-up in a folder of its own, not started; what runs of it ends with the block."""
    with open_folder() as home:
        made = Services(dagmm, home)
        try:
            yield made
        finally:
            if made.process is not None and made.process.poll() is None:
                made.stop()
