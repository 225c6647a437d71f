#!/usr/bin/env python3
"""A native service in thirty lines: marks carts. Secret and port come from the environment."""
import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["ALTHING_SECRET"].removeprefix("whsec_"))
CARTS, DONE = {}, {}  # What the service is about, and what was done under each idempotency key.

def mark_cart(key, cart, status):
    if key not in DONE:  # An effect in the world happens once a key, however often it is posted.
        CARTS[cart] = status
        DONE[key] = {"status": "marked", "output": {"cart": cart, "status": status}}
    return DONE[key]

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        at = self.headers["webhook-timestamp"]
        signed = f"{self.headers['webhook-id']}.{at}.".encode() + body
        good = "v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(good, self.headers["webhook-signature"]) or abs(time.time() - int(at)) > 300:
            return self.answer(401, {"error": "who are you?"})
        event = json.loads(body)
        self.answer(200, mark_cart(event["data"]["key"], **event["data"]["input"]))

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
