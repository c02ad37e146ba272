"""A page in headless Chromium as a client: browser_client.py CLOUD_URL LOGIC_URL.

Serves page.html from a loopback address, lets the page connect, pushes to it, and waits until the page says what
it was shown. Prints "ok" and ends 0, or says what was wrong.
"""
import http.server, json, os, subprocess, sys, tempfile, threading, urllib.parse, urllib.request

CLOUD, LOGIC = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
told = {"connected": threading.Event(), "pushed": threading.Event()}
words = {}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        with open(os.path.join(HERE, "page.html"), "rb") as page:
            self.wfile.write(page.read())

    def do_POST(self):
        name = self.path.strip("/")
        words[name] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        told[name].set()

    def log_message(self, *_):
        pass


def push(body):
    request = urllib.request.Request(LOGIC + "/v1/push", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/?" + urllib.parse.urlencode({"cloud": CLOUD + "?user=web&key=tab&room=page"})
with tempfile.TemporaryDirectory() as profile:
    browser = subprocess.Popen(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--user-data-dir=" + profile, "--remote-debugging-port=0", address],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert told["connected"].wait(60), "the page did not connect"
        assert words["connected"]["user"] == "web", words
        answer = push({"rooms": ["page"], "event": "greeting", "data": {"text": "Grüße aus Chromium 👋"}})
        assert answer["verdicts"][0]["verdict"] == "routed", answer
        assert told["pushed"].wait(30), "the page was shown nothing"
        assert words["pushed"] == {"title": "greeting", "text": "Grüße aus Chromium 👋"}, words
    finally:
        browser.terminate()
        browser.wait(20)
print("ok")
