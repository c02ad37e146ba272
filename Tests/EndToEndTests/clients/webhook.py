"""A backend that takes webhooks: webhook.py PORT SECRET.

Prints each event as one line of JSON, and `forged` for a request whose signature is wrong.
"""
import hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT, SECRET = int(sys.argv[1]), sys.argv[2]


def is_from_herald(body, signature, secret):
    fields = dict(part.split("=", 1) for part in signature.split(","))
    code = hmac.new(secret.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(code, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if is_from_herald(body, self.headers["Herald-Signature"], SECRET):
            for event in json.loads(body)["events"]:
                print(json.dumps(event), flush=True)
        else:
            print("forged", flush=True)
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
