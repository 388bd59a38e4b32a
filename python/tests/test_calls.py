"""What is sent and what is not, against a small server that answers as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import backtests as bt
from backtests import _calls

Answer = tuple[int, dict[str, str], bytes]


class Peer:
    """A server on loopback: it notes what it is asked and answers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.answer: Callable[[int], Answer] = lambda _: (200, {}, b"{}")
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                peer.seen.append((self.command, self.path, dict(self.headers)))
                status, headers, body = peer.answer(len(peer.seen))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.server.shutdown()
    peer.server.server_close()


CONFIG = "run_name: x\nstart_date: 2020-01-01\n"


def busy_once(number: int) -> Answer:
    return (503, {"Retry-After": "0"}, b"{}") if number == 1 else (200, {}, b'{"run_id": "R", "status": "queued"}')


def test_reading_is_tried_again_when_the_service_is_busy(peer: Peer) -> None:
    peer.answer = busy_once
    assert bt.Client(peer.url, key="").run("R").id == "R"
    assert len(peer.seen) == 2


def test_a_submit_is_tried_again_only_with_an_idempotency_key(peer: Peer) -> None:
    peer.answer = busy_once
    client = bt.Client(peer.url, key="")
    with pytest.raises(bt.ServiceError) as refused:
        client.submit(CONFIG)
    assert refused.value.status == 503
    peer.seen.clear()
    assert client.submit(CONFIG, idempotency_key="k").id == "R"
    assert len(peer.seen) == 2


def test_a_key_goes_in_a_header_and_never_follows_a_redirect(peer: Peer) -> None:
    other = Peer()
    peer.answer = lambda _: (307, {"Location": f"{other.url}/api/backtests/R"}, b"")
    client = bt.Client(peer.url, key="secret")
    with pytest.raises(bt.Redirected, match=other.url):
        client.run("R")
    assert peer.seen[0][2]["x-functions-key"] == "secret"
    assert "secret" not in peer.seen[0][1]
    assert other.seen == []
    other.server.shutdown()


def test_a_key_is_never_shown(peer: Peer) -> None:
    client = bt.Client(peer.url, key="secret")
    assert "secret" not in repr(client) + repr(vars(client))
    peer.answer = lambda _: (401, {}, b"")
    with pytest.raises(bt.Unauthorized, match="BACKTEST_FUNCTION_KEY") as refused:
        client.run("R")
    assert "secret" not in str(refused.value)


def test_a_credential_is_asked_once_for_many_calls(peer: Peer) -> None:
    class Token:
        token, expires_on = "bearer", 4e9

    class Credential:
        asked = 0

        def get_token(self, *scopes: str) -> Token:
            assert scopes == ("api://app/.default",)
            self.asked += 1
            return Token()

    peer.answer = lambda _: (200, {}, b'{"run_id": "R", "status": "queued"}')
    credential = Credential()
    client = bt.Client(peer.url, key="", credential=credential, scope="api://app/.default")
    client.run("R")
    client.run("R")
    assert credential.asked == 1
    assert peer.seen[1][2]["Authorization"] == "Bearer bearer"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acme.azurewebsites.net", "https://acme.azurewebsites.net"),
        ("localhost:7071", "http://localhost:7071"),
        ("127.0.0.1:7071/", "http://127.0.0.1:7071"),
        ("https://acme.example/api/", "https://acme.example"),
    ],
)
def test_addresses_are_completed(given: str, expected: str) -> None:
    assert _calls.origin(given, has_secret=True, insecure=False) == expected


def test_a_key_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        bt.Client("http://acme.example", key="secret")
    bt.Client("http://acme.example", key="secret", insecure=True)


def test_nothing_listening_is_said_with_the_next_step() -> None:
    with pytest.raises(bt.Unreachable, match="backtests dev"):
        bt.Client("http://127.0.0.1:9", key="").run("R")
