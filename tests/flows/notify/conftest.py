"""Real servers on loopback that keep what they are told: HTTP and SMTP."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from flows.common.settings import Settings
from flows.notify.event import Event
from flows.services.servers import free_port

SECRET = "T0ps3cretPath"


@dataclass
class Heard:
    """What a server was told, and how it answers."""

    url: str = ""
    answer: int = 200
    wait: threading.Event | None = None
    requests: list = field(default_factory=list)

    @property
    def bodies(self):
        return [json.loads(body) for _, body in self.requests]


@contextmanager
def listening():
    """A server on loopback that keeps what is posted to it."""
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if heard.wait is not None:
                heard.wait.wait(30)
            heard.requests.append((self.path, body))
            self.send_response(heard.answer)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    heard.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}?key=k3y&a=b"
    try:
        yield heard
    finally:
        if heard.wait is not None:
            heard.wait.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def http():
    with listening() as heard:
        yield heard


@dataclass
class Mail:
    """A mail server with one login, and the letters that it took."""

    url: str = ""
    letters: list = field(default_factory=list)


@pytest.fixture
def smtp():
    mail = Mail()

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            letter = message_from_bytes(envelope.original_content, policy=default)
            mail.letters.append((envelope.mail_from, envelope.rcpt_tos, letter))
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (b"pumps", SECRET.encode())
        return AuthResult(success=good)

    controller = Controller(
        Handler(), hostname="127.0.0.1", port=free_port(), authenticator=authenticate,
        auth_required=True, auth_require_tls=False,
    )  # fmt: skip
    controller.start()
    mail.url = (
        f"mailto://pumps:{SECRET}@127.0.0.1:{controller.port}/?from=dagmm@example.org&to=ann@example.org"
        "&mode=insecure"
    )
    yield mail
    controller.stop()


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Writes `notify.yaml` of a home, addresses into the environment; gives the settings."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGMM_HOME", str(home))
    monkeypatch.delenv("DAGMM_NOTIFY", raising=False)

    def write(*targets, **keys) -> Settings:
        lines = []
        for number, (kind, address, *more) in enumerate(targets):
            monkeypatch.setenv(f"TARGET_{number}", address)
            options = more[0] if more else {}
            lines.append(
                {"name": f"{kind}{number}", "kind": kind, "url": f"TARGET_{number}"} | options
            )
        text = yaml.safe_dump({"notify": {"targets": lines, **keys}})
        (home / "notify.yaml").write_text(text)
        return Settings()

    return write


@pytest.fixture
def drift() -> Event:
    return Event(
        kind="drift",
        subject="dagmm-pumps",
        reason="critical, models:/dagmm-pumps/3\npressure: PSI 0.41, at most 0.25 <!channel>",
        figure="pressure: PSI 0.41, at most 0.25",
        link="http://127.0.0.1:5000/#/experiments/2",
        same="models:/dagmm-pumps/3 critical",
    )
