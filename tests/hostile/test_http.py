"""HTTP requests that two parties may read in two ways, that are too large, or that look for files."""

import json

from hostile import SystemTest, ask_raw, main

GET = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
BODY = b'{"temperature":60,"humidity":35,"sound":75}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


def headers(count):
    return b"".join(b"X-%d: y\r\n" % i for i in range(count))


# (what, request, status; None: the connection ends without an answer)
CASES = [
    ("a sound request", GET + b"\r\n", 200),
    ("a sound body", POST + LENGTH + b"\r\n" + BODY, 200),
    # the request line
    ("no such method", b"BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("PUT", b"PUT /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
    ("DELETE of the history", b"DELETE /history HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", b"GET /health\r\n\r\n", 400),
    ("a version that will come", b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n", 505),
    ("a TLS hello", bytes.fromhex("16030100a5010000a10303") + bytes(160), 400),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("a NUL in the line", b"GET /hea\0lth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an absolute form of somebody else", b"GET http://evil.example/health HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ("an absolute form of ours", b"GET http://a/health/live HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ("HTTP/1.0", b"GET /health/live HTTP/1.0\r\nHost: a\r\n\r\n", 200),
    ("line feeds alone", b"GET /health/live HTTP/1.1\nHost: a\n\n", 200),  # RFC 9112 section 2.2
    ("a line feed in a header", GET + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ("a carriage return in a header", GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    # paths
    ("an escape", b"GET /%68ealth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("%00", b"GET /health%00.html HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("%0d%0a", b"GET /health%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("capitals", b"GET /HEALTH HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("two slashes", b"GET //health HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("a way out", b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("an encoded way out", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a dot file", b"GET /.htpasswd HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("the history's file", b"GET /history.db HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ("a script", b"GET /a.php HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    # headers
    ("no Host", b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", GET + b"Host: b\r\n\r\n", 400),
    ("another's Host", b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ("another's Origin", GET + b"Origin: http://evil.example\r\n\r\n", 403),
    ("a header of 20 KB", GET + b"X: " + b"y" * 20000 + b"\r\n\r\n", 400),
    ("200 headers", GET + headers(200) + b"\r\n", 431),
    ("63 headers", GET + headers(62) + b"\r\n", 200),
    ("a length behind 63 headers", POST + headers(62) + LENGTH + b"\r\n" + BODY, 431),
    ("a blank before a colon", GET + b"X : y\r\n\r\n", 400),
    ("no value", GET + b"X:\r\nY: \r\nZ:z\r\nW:   w\r\n\r\n", 200),
    ("a folded header", GET + b"X: a\r\n b\r\n\r\n", 200),  # RFC 9112 section 5.2: read as a blank
    ("a folded length", POST + b"Content-Length: 4\r\n 3\r\n\r\n" + BODY, 400),
    ("a folded encoding", POST + LENGTH + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + BODY, 411),
    ("a NUL in a header", GET + b"X: a\0b\r\n\r\n", 400),
    # the body's length
    ("5abc", POST + b"Content-Length: 5abc\r\n\r\n" + BODY, 400),
    ("-1", POST + b"Content-Length: -1\r\n\r\n" + BODY, 400),
    ("+5", POST + b"Content-Length: +5\r\n\r\n" + BODY, 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 43\r\n\r\n" + BODY, 400),
    ("a list of lengths", POST + b"Content-Length: 43, 43\r\n\r\n" + BODY, 400),
    ("2^63 bytes", POST + b"Content-Length: 9223372036854775808\r\n\r\n", 413),
    ("65,537 bytes", POST + b"Content-Length: 65537\r\n\r\n" + b" " * 65537, 413),
    ("chunked", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ("chunked and a length", POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BODY, 411),
    ("chunked, in disguise", POST + LENGTH + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY, 411),
    ("no length", POST + b"\r\n" + BODY, 411),
    ("cut short", POST + b"Content-Length: 43\r\n\r\n{", 408),
    # what is in it
    ("a form", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
     + LENGTH + b"\r\n" + BODY, 415),
    ("a WebSocket", GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
     b"Sec-WebSocket-Version: 13\r\n\r\n", 200),
    ("deep", POST + b"Content-Length: 20000\r\n\r\n" + b"[" * 20000, 400),
    ("no UTF-8", POST + b"Content-Length: 9\r\n\r\n" + b'{"a":"\xff"}', 400),
    ("a name twice", POST + b"Content-Length: 13\r\n\r\n" + b'{"a":1,"a":2}', 400),
    # queries
    ("limit=-1", b"GET /history?limit=-1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("limit=2^63", b"GET /history?limit=9223372036854775808 HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("limit=1e9", b"GET /history?limit=1e9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("limit twice", b"GET /history?limit=1&limit=2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a broken escape", b"GET /history?machine=% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("SQL", b"GET /history?machine=x'%20OR%201=1-- HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("from after to", b"GET /history?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a line of 400 KB", b"GET /history?" + b"limit=1&" * 50000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("1,000 parameters", b"GET /history?" + b"&".join(b"p%d=1" % i for i in range(1000)) + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
]  # fmt: skip


class Http(SystemTest):
    def test_each_request_gets_its_answer(self):
        self.agent.start()
        for port in (self.agent.http_port, self.agent.health_port):
            for what, request, expected in CASES:
                if port == self.agent.health_port and not request.startswith(GET):
                    continue  # the health port has three routes
                with self.subTest(what, port=port):
                    status, answer = ask_raw(port, request)
                    if what in ("another's Origin",) and port == self.agent.health_port:
                        expected = 200  # anybody may ask there, nothing can be changed
                    if status is None and len(request) > 16384:
                        continue  # the connection ended before all was sent
                    self.assertEqual(status, expected, (what, answer[:300]))
                    self.assertNotIn(b"root:", answer)
                    self.assertNotIn(b"Access-Control", answer)
        self.agent.running()
        self.assertEqual(self.agent.get("/health")[0], 200)

    def test_nothing_is_smuggled_behind_a_refused_body(self):
        self.agent.start()
        hidden = b"POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        for what, lengths in (
            ("both", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            ("two", b"Content-Length: 0\r\nContent-Length: 70\r\n"),
            ("5abc", b"Content-Length: 0abc\r\n"),
            ("a blank before the colon", b"Content-Length : 0\r\n"),
            ("behind the 64th", headers(70) + b"Content-Length: 70\r\n"),
        ):
            with self.subTest(what):
                _, answer = ask_raw(self.agent.http_port, POST + lengths + b"\r\n" + hidden)
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)
        self.assertEqual(self.agent.metrics()["isolde_model_reloads_total"], 0)

    def test_what_is_said_back_cannot_be_markup(self):
        self.agent.start()
        _, answer = ask_raw(self.agent.http_port, b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: a\r\n\r\n")
        head, body = answer.split(b"\r\n\r\n", 1)
        self.assertIn(b"application/problem+json", head)
        self.assertIn(b"X-Content-Type-Options: nosniff", head)
        json.loads(body)


if __name__ == "__main__":
    main()
