"""A small MQTT 3.1.1 client (OASIS MQTT 3.1.1, section 3) over one socket, so that the tests see
every packet: what was acknowledged is counted, not supposed."""

import socket
import struct
import threading
import time
from collections import namedtuple

Message = namedtuple("Message", "topic payload qos retained")

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14


def _text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind, flags, body):
    head, length = bytes([kind << 4 | flags]), len(body)
    while True:
        head += bytes([length % 128 | (128 if length > 127 else 0)])
        length //= 128
        if not length:
            return head + body


class Client:
    def __init__(
        self, port, client_id="test", clean=True, keepalive=0, will=None, login=None, tls=None
    ):
        """`login`: (name, password); `tls`: an ssl.SSLContext, the broker is 127.0.0.1 then too."""
        self.messages = []  # everything received, in order
        self.published = 0  # QoS-1 messages sent
        self.acknowledged = 0
        self.granted = {}  # packet id of a SUBSCRIBE: QoS granted
        self.lost = False
        self._last_id = 0
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self._socket = tls.wrap_socket(self._socket, server_hostname="127.0.0.1")
        flags = (2 if clean else 0) | (4 | 1 << 3 if will else 0) | (0xC0 if login else 0)
        body = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", keepalive) + _text(client_id)
        if will:
            body += _text(will[0]) + _text(will[1])
        if login:
            body += _text(login[0]) + _text(login[1])
        try:
            self._socket.sendall(_packet(CONNECT, 0, body))
            kind, _, answer = self._read()
            if kind != CONNACK or answer[1]:
                raise ConnectionError(f"refused: {answer!r}")
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        threading.Thread(target=self._receive, daemon=True).start()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return data

    def _read(self):
        head, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head >> 4, head & 15, self._exactly(length)

    def _receive(self):
        try:
            while True:
                self._handle(*self._read())
        except OSError:
            with self._changed:
                self.lost = True
                self._changed.notify_all()

    def _handle(self, kind, flags, body):
        with self._changed:
            if kind == PUBACK:
                self.acknowledged += 1
            elif kind == SUBACK:
                self.granted[struct.unpack(">H", body[:2])[0]] = body[2]
            elif kind == PUBLISH:
                length, qos = struct.unpack(">H", body[:2])[0], flags >> 1 & 3
                rest = body[2 + length :]
                if qos:
                    self._send(_packet(PUBACK, 0, rest[:2]))
                    rest = rest[2:]
                self.messages.append(Message(body[2 : 2 + length].decode(), rest, qos, flags & 1))
            self._changed.notify_all()

    def _send(self, data):
        with self._sending:
            self._socket.sendall(data)

    def _next_id(self):
        self._last_id = self._last_id % 65535 + 1
        return self._last_id

    def _wait(self, what, condition, seconds):
        with self._changed:
            self._changed.wait_for(lambda: self.lost or condition(), seconds)
            if not condition():
                raise AssertionError(f"{'connection lost' if self.lost else 'no'}: {what}")

    def publish(self, topic, payload, qos=1, retain=False):
        """Sends and does not wait; wait_acknowledged() does, for all."""
        body = _text(topic)
        if qos:
            body += struct.pack(">H", self._next_id())
            self.published += 1
        payload = payload if isinstance(payload, bytes) else payload.encode()
        self._send(_packet(PUBLISH, qos << 1 | retain, body + payload))

    def wait_acknowledged(self, seconds=20):
        self._wait("acknowledgement", lambda: self.acknowledged == self.published, seconds)

    def subscribe(self, *filters, qos=1, seconds=10):
        for name in filters:
            packet_id = self._next_id()
            body = struct.pack(">H", packet_id) + _text(name) + bytes([qos])
            self._send(_packet(SUBSCRIBE, 2, body))
            self._wait("SUBACK", lambda: packet_id in self.granted, seconds)
            if self.granted[packet_id] == 128:
                raise AssertionError(f"subscription to {name} was refused")
        return self

    def on(self, topic):
        """The messages so far on a topic."""
        with self._changed:
            return [message for message in self.messages if message.topic == topic]

    def wait(self, what, condition, seconds=20):
        """Until condition(list of messages) holds; returns the messages."""
        self._wait(what, lambda: condition(self.messages), seconds)
        with self._changed:
            return list(self.messages)

    def close(self):
        """A clean goodbye: the last will is not published."""
        try:
            self._send(_packet(DISCONNECT, 0, b""))
        except OSError:
            pass
        self.abort()

    def abort(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def connect_when_up(port, seconds=10, **options):
    """A client as soon as the broker listens."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Client(port, **options)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
