"""Every kind of target, against real servers."""

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.notify.config import Target, read_notify
from flows.notify.send import NotDelivered, send
from tests.flows.notify.conftest import SECRET


def target(settings) -> Target:
    return read_notify(settings).targets[0]


def test_a_webhook_gets_json_with_every_part(configure, http, drift):
    send(target(configure(("webhook", f"{http.url}&c="))), drift, 5.0)
    ((path, _),) = http.requests
    assert path == f"/services/{SECRET}?key=k3y&a=b&c="
    (body,) = http.bodies
    assert body.pop("time").endswith("Z")
    assert body == {
        "event": "drift",
        "title": "dagmm-pumps: drift",
        "message": drift.text(),
        "type": "warning",
        "subject": drift.subject,
        "figure": drift.figure,
        "reason": drift.reason,
        "link": drift.link,
    }


def test_a_webhook_may_have_an_address_of_ipv6(configure, drift):
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    try:
        server = Server(("::1", 0), Handler)
    except OSError:
        pytest.skip("this machine has no IPv6")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    send(target(configure(("webhook", f"http://[::1]:{server.server_port}/x"))), drift, 5.0)
    server.shutdown()
    server.server_close()
    assert heard[0]["subject"] == drift.subject


def test_what_slack_takes_is_one_text_in_which_nothing_calls_anybody(configure, http, drift):
    send(target(configure(("slack", http.url))), drift, 5.0, before=3)
    (body,) = http.bodies
    assert set(body) == {"text"}
    assert body["text"].startswith("*dagmm-pumps: drift*\ncritical, models:/dagmm-pumps/3\n")
    assert "&lt;!channel&gt;" in body["text"]
    assert "<" not in body["text"]
    assert drift.link in body["text"]
    assert "3 times before" in body["text"]


def test_an_email_has_title_figure_reason_and_link(configure, smtp, drift):
    send(target(configure(("email", smtp.url))), drift, 5.0)
    ((sender, receivers, letter),) = smtp.letters
    assert receivers == ["ann@example.org"]
    assert "dagmm@example.org" in sender
    assert letter["Subject"] == "dagmm-pumps: drift"
    parts = {part.get_content_type(): part for part in letter.walk()}
    plain = parts.get("text/plain") or parts["text/html"]
    message = plain.get_content()
    assert "PSI 0.41, at most 0.25" in message
    assert drift.link in message
    html = parts.get("text/html")
    assert html is None or "<!channel>" not in html.get_content()


@pytest.mark.parametrize("answer", [302, 404, 500])
def test_what_is_not_taken_is_said_without_the_address(
    configure, http, drift, answer, caplog, capfd
):
    http.answer = answer
    with caplog.at_level(logging.DEBUG), pytest.raises(NotDelivered) as why:
        send(target(configure(("webhook", http.url))), drift, 5.0)
    assert str(answer) in str(why.value)
    out = capfd.readouterr()
    for text in (str(why.value), out.out, out.err):
        assert SECRET not in text
        assert "k3y" not in text


def test_a_wrong_password_is_said_without_it(configure, smtp, drift):
    settings = configure(("email", smtp.url.replace(SECRET, "wr0ngPassword")))
    with pytest.raises(NotDelivered) as why:
        send(target(settings), drift, 5.0)
    assert "wr0ng" not in str(why.value)
    assert smtp.letters == []


@pytest.mark.parametrize(
    ("kind", "address", "message"),
    [
        ("webhook", "", "TARGET_0 is not set"),
        ("webhook", f"ftp://host/{SECRET}", "no http:// or https://"),
        ("slack", f"https://:x/{SECRET}", "no http:// or https://"),
        ("email", f"nonsense://{SECRET}", "does not hold an address of kind email"),
        ("webhook", f"http://127.0.0.1:1/{SECRET}", "127.0.0.1|not delivered"),
    ],
)
def test_an_address_that_is_none(configure, drift, kind, address, message):
    with pytest.raises(NotDelivered, match=message) as why:
        send(target(configure((kind, address))), drift, 2.0)
    assert SECRET not in str(why.value)
