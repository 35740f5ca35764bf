"""The team set-up as a test runs it: `dagmm services run` in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from flows.services.servers import free_port

START_SECONDS = 240


@dataclass
class Services:
    """A set-up that can be started, asked and stopped; `environment` is that of its operator."""

    dagmm: Path
    # Not below pytest's folder, which only its owner may enter: PostgreSQL runs as somebody else.
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="dagmm-team-")))
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        self.home.chmod(0o755)
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
            [self.dagmm, "services", "run"], env=self.environment, stdout=log, stderr=log
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
        return self.process.wait(60)
