"""What a worker tells its orchestrator and its Prometheus, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream_monitor.errors import ConfigError

REQUEST_TIMEOUT_S = 5
STOP_POLL_S = 0.05


class Reply(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


class Health:
    """Serves /metrics, /healthz and /readyz.

    /healthz answers 200 while ``tick`` was called within the last ``stall_after_s`` seconds, /readyz 200
    after ``ready(True)``; else both answer 503 and say why. ``now``: a clock in s that never goes back.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        stall_after_s: float = 60,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._stall_after_s = stall_after_s
        self._now = now
        self._ticked = now()
        self._not_ready: str | None = "starting"
        self._server: ThreadingHTTPServer | None = None

    def tick(self) -> None:
        """The main loop is alive. Costs no more than a look at the clock."""
        self._ticked = self._now()

    def ready(self, ready: bool, why: str = "") -> None:  # noqa: FBT001 - it is what the method says
        """Partitions are assigned and restored, or not, and then why."""
        self._not_ready = None if ready else why

    def start(self, host: str, port: int) -> int:
        """Serve from a thread; returns the port, which the system chooses where 0 is asked for.

        Raises ConfigError where the address cannot be had.
        """
        try:
            server = _Server((host, port), partial(_Handler, self))
        except OSError as error:
            problem = (
                f"http: expected a free address, got {host}:{port} ({error.strerror}); choose another port"
            )
            raise ConfigError([problem]) from error
        self._server = server
        Thread(target=server.serve_forever, args=(STOP_POLL_S,), name="http", daemon=True).start()
        return int(server.server_address[1])

    def stop(self) -> None:
        """Stop serving. Does nothing when it was never started."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def reply(self, path: str, accept: str) -> Reply:
        """What a GET of ``path`` is answered, with ``accept`` the Accept header."""
        match path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return Reply(HTTPStatus.OK, content_type, encode(self._registry))
            case "/healthz":
                return _verdict(self._stalled())
            case "/readyz":
                return _verdict(self._not_ready)
            case _:
                return _text(HTTPStatus.NOT_FOUND, "expected /metrics, /healthz or /readyz")

    def _stalled(self) -> str | None:
        silent_s = self._now() - self._ticked
        if silent_s <= self._stall_after_s:
            return None
        return f"the main loop has not come round for {silent_s:.0f} s (limit {self._stall_after_s:g} s)"


def _verdict(problem: str | None) -> Reply:
    if problem is None:
        return _text(HTTPStatus.OK, "ok")
    return _text(HTTPStatus.SERVICE_UNAVAILABLE, problem)


def _text(status: HTTPStatus, text: str) -> Reply:
    return Reply(status, "text/plain; charset=utf-8", f"{text}\n".encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Else a port that another process listens on could be taken as well, and would answer at random.
    allow_reuse_port = False


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def __init__(self, health: Health, *request: Any) -> None:
        self._health = health
        super().__init__(*request)

    def do_GET(self) -> None:
        reply = self._health.reply(self.path, self.headers.get("Accept", ""))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Probes every few seconds are not worth a line of log."""
