"""A publisher of data sets on this very machine, which can break off, forget, and redirect."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Publisher(BaseHTTPRequestHandler):
    """Serves `server.files`, or what `server.answers` says: (status, headers). Notes what it was `asked`.

    cuts: after how many bytes an answer breaks off, one entry an answer. ranges, tags ("weak"), lengths:
    whether it goes on from the middle, marks its files, and says how long they are.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        if self.path in server.answers:
            status, headers = server.answers[self.path]
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            return self.end_headers()
        content, begin = server.files[self.path], 0
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        if server.ranges and self.headers.get("Range") and self.headers.get("If-Range") == tag:
            begin = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if server.tags:
            self.send_header("ETag", f"W/{tag}" if server.tags == "weak" else tag)
        if server.lengths:
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else 0
        self.wfile.write(content[begin:][: cut or None])
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def published():
    """The running server; `host` is its name and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    server.files, server.answers, server.cuts, server.asked = {}, {}, [], []
    server.ranges = server.tags = server.lengths = True
    server.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
