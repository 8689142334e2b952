"""A shop of one page: prices with tax, over HTTP."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse


def with_tax(cents, percent):
    """The price with tax, in cents, rounded half up."""
    if cents < 0 or percent < 0:
        raise ValueError("prices and taxes are not negative")
    return (cents * (100 + percent) * 2 + 100) // 200


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlparse(self.path)
        if url.path != "/price":
            return self.answer(404, {"error": "there is only /price"})
        query = parse_qs(url.query)
        try:
            cents = with_tax(int(query["cents"][0]), int(query.get("tax", ["19"])[0]))
        except (KeyError, ValueError) as error:
            return self.answer(400, {"error": str(error)})
        return self.answer(200, {"cents": cents})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    # Port 0 takes a free one, so that builds beside each other do not meet.
    with open(sys.argv[1], "w") as file:
        file.write(str(server.server_port))
    server.serve_forever()
