"""MQTT 3.1.1 and 5 on one TLS connection, at the level where SUBACK codes, PUBACK reasons, session
present and DISCONNECT reasons can be seen. A client of a test: it trusts nothing and hides nothing.
"""

from __future__ import annotations

import collections
import dataclasses
import socket
import ssl
import struct
import threading
import time
from typing import Any

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14

# Identifier, name as the captures spell it, and form.
PROPERTIES = [
    (0x01, "payloadFormatIndicator", "byte"), (0x02, "messageExpiryInterval", "u32"),
    (0x03, "contentType", "text"), (0x08, "responseTopic", "text"), (0x09, "correlationData", "bytes"),
    (0x0B, "subscriptionIdentifier", "varint"), (0x11, "sessionExpiryInterval", "u32"),
    (0x12, "assignedClientIdentifier", "text"), (0x13, "serverKeepAlive", "u16"),
    (0x15, "authenticationMethod", "text"), (0x16, "authenticationData", "bytes"),
    (0x17, "requestProblemInformation", "byte"), (0x19, "requestResponseInformation", "byte"),
    (0x1A, "responseInformation", "text"), (0x1C, "serverReference", "text"), (0x1F, "reasonString", "text"),
    (0x21, "receiveMaximum", "u16"), (0x22, "topicAliasMaximum", "u16"), (0x23, "topicAlias", "u16"),
    (0x24, "maximumQoS", "byte"), (0x25, "retainAvailable", "byte"), (0x26, "userProperty", "pair"),
    (0x27, "maximumPacketSize", "u32"), (0x28, "wildcardSubscriptionAvailable", "byte"),
    (0x29, "subscriptionIdentifierAvailable", "byte"), (0x2A, "sharedSubscriptionAvailable", "byte"),
]
BY_NAME = {name: (identifier, form) for identifier, name, form in PROPERTIES}
BY_IDENTIFIER = {identifier: (name, form) for identifier, name, form in PROPERTIES}


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def sized(data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(data)) + data


def encode_properties(properties: dict[str, Any]) -> bytes:
    out = bytearray()
    for name, value in properties.items():
        identifier, form = BY_NAME[name]
        for one in value if form == "pair" else [value]:
            out.append(identifier)
            match form:
                case "byte":
                    out.append(one)
                case "u16":
                    out += struct.pack(">H", one)
                case "u32":
                    out += struct.pack(">I", one)
                case "varint":
                    out += varint(one)
                case "pair":
                    out += sized(one[0]) + sized(one[1])
                case _:
                    out += sized(one)
    return varint(len(out)) + bytes(out)


class Reader:
    """Reads fields off a packet's body."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at:self.at + count]
        assert len(part) == count, f"packet ends early: {self.data!r}"
        self.at += count
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return struct.unpack(">H", self.take(2))[0]

    def u32(self) -> int:
        return struct.unpack(">I", self.take(4))[0]

    def sized(self) -> bytes:
        return self.take(self.u16())

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def left(self) -> int:
        return len(self.data) - self.at

    def properties(self) -> dict[str, Any]:
        inner = Reader(self.take(self.varint()))
        found: dict[str, Any] = {}
        while inner.left():
            name, form = BY_IDENTIFIER[inner.byte()]
            match form:
                case "byte":
                    found[name] = inner.byte()
                case "u16":
                    found[name] = inner.u16()
                case "u32":
                    found[name] = inner.u32()
                case "varint":
                    found[name] = inner.varint()
                case "pair":
                    pair = [inner.sized().decode(), inner.sized().decode()]
                    found.setdefault(name, []).append(pair)
                case "text":
                    found[name] = inner.sized().decode()
                case _:
                    found[name] = inner.sized()
        return found


@dataclasses.dataclass
class Message:
    """A PUBLISH that arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    properties: dict[str, Any]


@dataclasses.dataclass
class Connack:
    session_present: bool
    reason: int
    properties: dict[str, Any]


class Closed(Exception):
    """The server ended the connection; the reason code of its DISCONNECT, if it sent one."""


class Connection:
    """One connection. A thread reads; everything received is kept until it is asked for."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, version: int = 5, deadline: float = 15):
        self.version, self.deadline = version, deadline
        raw = socket.create_connection((host, port), timeout=deadline)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(raw, server_hostname=host)
        self.socket.settimeout(None)
        self.alpn = self.socket.selected_alpn_protocol()
        self.client_id = ""
        self.messages: collections.deque[Message] = collections.deque()
        self.answers: collections.deque[tuple[int, int, Any]] = collections.deque()
        self.closed: Exception | None = None
        self.server_reason: int | None = None
        self.identifier = 0
        self.sending = threading.Lock()
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read_all, daemon=True)
        self.thread.start()

    # What a client does.

    def connect(self, client_id: str, *, clean: bool, keep_alive: int = 60, username: str | None = None,
                properties: dict[str, Any] | None = None) -> Connack:
        self.client_id = client_id
        flags = (0x02 if clean else 0) | (0x80 if username is not None else 0)
        body = sized("MQTT") + bytes([self.version, flags]) + struct.pack(">H", keep_alive)
        body += encode_properties(properties or {}) if self.version == 5 else b""
        body += sized(client_id) + (sized(username) if username is not None else b"")
        self._send(CONNECT, 0, body)
        return self._answer(CONNACK, 0)

    def subscribe(self, topic_filter: str, qos: int = 1, *, no_local: bool = False,
                  retain_as_published: bool = True, retain_handling: int = 0) -> list[int]:
        options = qos
        if self.version == 5:
            options |= no_local << 2 | retain_as_published << 3 | retain_handling << 4
        identifier = self._next()
        body = struct.pack(">H", identifier) + self._none() + sized(topic_filter) + bytes([options])
        self._send(SUBSCRIBE, 2, body)
        return self._answer(SUBACK, identifier)

    def unsubscribe(self, topic_filter: str) -> list[int]:
        identifier = self.send_unsubscribe(topic_filter)
        return self._answer(UNSUBACK, identifier)

    def send_unsubscribe(self, topic_filter: str) -> int:
        """Sends and does not wait; `unsuback` does."""
        identifier = self._next()
        self._send(UNSUBSCRIBE, 2, struct.pack(">H", identifier) + self._none() + sized(topic_filter))
        return identifier

    def unsuback(self, identifier: int) -> list[int]:
        return self._answer(UNSUBACK, identifier)

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False,
                properties: dict[str, Any] | None = None) -> int | None:
        """The reason code of the PUBACK; `None` for QoS 0."""
        identifier = self._next() if qos else 0
        body = sized(topic) + (struct.pack(">H", identifier) if qos else b"")
        body += encode_properties(properties or {}) if self.version == 5 else b""
        self._send(PUBLISH, qos << 1 | retain, body + payload)
        return self._answer(PUBACK, identifier) if qos else None

    def ping(self) -> None:
        self._send(PINGREQ, 0, b"")
        self._answer(PINGRESP, 0)

    def disconnect(self, reason: int = 0) -> None:
        self._send(DISCONNECT, 0, bytes([reason]) if self.version == 5 and reason else b"")

    def close(self) -> None:
        """Ends the TCP connection without a word."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    # What arrived.

    def take(self, topic: str, deadline: float | None = None) -> Message:
        """The first message on that topic that nobody took."""
        def found() -> Message | None:
            for message in self.messages:
                if message.topic == topic:
                    self.messages.remove(message)
                    return message
            return None
        return self._wait(found, f"a message on {topic}", deadline)

    def await_close(self, deadline: float | None = None) -> int | None:
        """Waits for the server to end the connection; the reason of its DISCONNECT."""
        end = time.monotonic() + (deadline or self.deadline)
        with self.changed:
            while self.closed is None:
                assert self.changed.wait(end - time.monotonic()), "the server did not close the connection"
        return self.server_reason

    def _wait(self, check, what: str, deadline: float | None = None) -> Any:
        end = time.monotonic() + (deadline or self.deadline)
        with self.changed:
            while True:
                found = check()
                if found is not None:
                    return found
                if self.closed is not None:
                    raise Closed(f"{self.client_id}: connection closed while waiting for {what}; server's "
                                 f"reason {self.server_reason}, {self.closed!r}")
                left = end - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    topics = [message.topic for message in self.messages]
                    raise AssertionError(f"{self.client_id}: no {what}; not taken: {topics}")

    def _answer(self, kind: int, identifier: int) -> Any:
        def found() -> Any:
            for answer in self.answers:
                if answer[:2] == (kind, identifier):
                    self.answers.remove(answer)
                    return answer
            return None
        return self._wait(found, f"answer of kind {kind} to packet {identifier}")[2]

    # Bytes.

    def _none(self) -> bytes:
        return b"\0" if self.version == 5 else b""

    def _next(self) -> int:
        self.identifier = self.identifier % 65535 + 1
        return self.identifier

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        with self.sending:
            self.socket.sendall(bytes([kind << 4 | flags]) + varint(len(body)) + body)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("end of stream")
            data += part
        return bytes(data)

    def _read_all(self) -> None:
        try:
            while True:
                first = self._exactly(1)[0]
                length = shift = 0
                while True:
                    byte = self._exactly(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if not byte & 0x80:
                        break
                self._packet(first >> 4, first & 0x0F, Reader(self._exactly(length)))
        except Exception as error:  # the reader's end is what the waiting side must hear of
            with self.changed:
                self.closed = error
                self.changed.notify_all()

    def _packet(self, kind: int, flags: int, body: Reader) -> None:
        five = self.version == 5
        acknowledge: int | None = None
        with self.changed:
            match kind:
                case 2:
                    present, reason = body.byte() & 1 == 1, body.byte()
                    properties = body.properties() if five else {}
                    self.answers.append((CONNACK, 0, Connack(present, reason, properties)))
                case 3:
                    topic, qos = body.sized().decode(), flags >> 1 & 3
                    acknowledge = body.u16() if qos else None
                    properties = body.properties() if five else {}
                    message = Message(topic, body.rest(), qos, bool(flags & 1), bool(flags & 8), properties)
                    self.messages.append(message)
                case 4:
                    identifier = body.u16()
                    self.answers.append((PUBACK, identifier, body.byte() if body.left() else 0))
                case 9 | 11:
                    identifier = body.u16()
                    if five:
                        body.properties()
                    self.answers.append((kind, identifier, list(body.rest())))
                case 13:
                    self.answers.append((PINGRESP, 0, 0))
                case 14:
                    self.server_reason = body.byte() if body.left() else 0
                case _:
                    raise AssertionError(f"the server sent a packet of kind {kind}")
            self.changed.notify_all()
        if acknowledge is not None:
            self._send(PUBACK, 0, struct.pack(">H", acknowledge))
