"""Stands in for a service: answers on its internal port as fanfare.service does, and does nothing else."""

import http.server
import json
import os
import signal
import sys


class Internal(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = os.environ["FANFARE_PROCESS"]
        said = {
            "name": name,
            "role": name.partition(".")[0],
            "pid": os.getpid(),
            "state": "running",
            "ready": True,
            "sessions": 2,
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("hello from", os.environ["FANFARE_PROCESS"])
http.server.HTTPServer(("127.0.0.1", int(os.environ["FANFARE_INTERNAL_PORT"])), Internal).serve_forever()
