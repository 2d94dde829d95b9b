"""Where a browser comes back to after a log-in elsewhere: a port of this machine, open for that long (RFC 8252)."""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vitalis_client.errors import VitalisError

ADDRESS = "127.0.0.1"
PATH = "/callback"
# As long as the server remembers the log-in.
WAIT_SECONDS = 600.0
PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Vitalis</title>"
    "<p>Done. You can close this page and go back to the terminal.</html>"
)
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Landing:
    """An open port. `url` is where the provider sends the browser."""

    def __init__(self, server: HTTPServer, arrived: "Queue[dict[str, str]]") -> None:
        self.url = f"http://{ADDRESS}:{server.server_port}{PATH}"
        self._arrived = arrived

    def wait(self, state: str, seconds: float = WAIT_SECONDS) -> dict[str, str]:
        """What the browser came back with: `code` and perhaps `iss`.

        Whatever comes with another state is another's, and is passed over. Raises
        LOG_IN_REFUSED if the provider says no, LOG_IN_TIMED_OUT if nobody comes.
        """
        while True:
            try:
                arrived = self._arrived.get(timeout=seconds)
            except Empty:
                raise VitalisError(0, "LOG_IN_TIMED_OUT", "nobody came back from the provider; log in again") from None
            if not hmac.compare_digest(arrived.get("state", "").encode(), state.encode()):
                continue
            if "code" not in arrived:
                raise VitalisError(0, "LOG_IN_REFUSED", f"the provider says {arrived.get('error', 'nothing')[:100]}")
            return arrived


@contextmanager
def landing() -> Iterator[Landing]:
    """Opens a port that only this machine reaches."""
    arrived: Queue[dict[str, str]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        # A connection that says nothing must not keep the browser out.
        timeout = 5

        def do_GET(self) -> None:
            came = _parameters(self.path)
            self.send_response(404 if came is None else 200)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            if came is not None:
                self.wfile.write(PAGE.encode())
                arrived.put(came)

        def log_message(self, *_: Any) -> None:
            """Nothing: the address holds the code."""

    with HTTPServer((ADDRESS, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Landing(server, arrived)
        finally:
            server.shutdown()
            thread.join()


def _parameters(path: str) -> dict[str, str] | None:
    """What a browser came back with; None if it did not come from a provider."""
    try:
        parts = urlsplit(path)
        return dict(parse_qsl(parts.query, max_num_fields=20)) if parts.path == PATH else None
    except ValueError:
        return None
