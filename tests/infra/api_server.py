"""An API server that lets nobody in."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler


class KnowsNobody(BaseHTTPRequestHandler):
    """Answers every reader as a real server answers a user that it does not know."""

    def do_GET(self) -> None:
        body = json.dumps({"kind": "Status", "code": 401}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        pass
