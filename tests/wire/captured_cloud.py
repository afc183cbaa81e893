"""The cloud of a capture, for a core of ours: says what the captured cloud said, when it said it.

One broker, one data plane and credentials provider (mutual TLS), one object store (plain HTTP), all
of this process. Whatever the core says is kept; a conversation is played by `test_core.py`.
"""

from __future__ import annotations

import http.server
import json
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from typing import Any

import golden
import mqtt_packets as mqtt


class Authority:
    """A root CA, a server and a device, made by openssl."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir()
        self.ca = folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=captured root",
                      "-addext", "basicConstraints=critical,CA:TRUE")
        for name, extension in (("server", "subjectAltName=DNS:localhost"), ("device", "extendedKeyUsage=clientAuth")):
            self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                          f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            (folder / f"{name}.ext").write_text(extension)
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
                          "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def server(self, *protocols: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.set_alpn_protocols(list(protocols))
        return context


class Broker:
    """MQTT 5 for one client; sessions live as long as the connection."""

    def __init__(self, tls: ssl.SSLContext):
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.said: list[tuple[str, Any]] = []
        self.filters: set[str] = set()
        self.client: ssl.SSLSocket | None = None
        self.sending = threading.Lock()
        self.identifier = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def say(self, topic: str, payload: bytes) -> None:
        self.identifier = self.identifier % 65535 + 1
        body = mqtt.sized(topic) + struct.pack(">H", self.identifier) + b"\0" + payload
        self._send(mqtt.PUBLISH, 2, body)

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
                self.client = self.tls.wrap_socket(raw, server_side=True)
                self._serve(self.client)
            except (OSError, EOFError):
                if self.listener.fileno() < 0:
                    return  # the test is over

    def _serve(self, client: ssl.SSLSocket) -> None:
        while True:
            first = self._exactly(client, 1)[0]
            length = shift = 0
            while True:
                byte = self._exactly(client, 1)[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            self._packet(first >> 4, first & 0x0F, mqtt.Reader(self._exactly(client, length)))

    def _packet(self, kind: int, flags: int, body: mqtt.Reader) -> None:
        match kind:
            case mqtt.CONNECT:
                with self.changed:
                    self.filters.clear()
                self._send(mqtt.CONNACK, 0, b"\0\0\0")
            case mqtt.SUBSCRIBE | mqtt.UNSUBSCRIBE:
                identifier = body.u16()
                body.properties()
                codes = b""
                with self.changed:
                    while body.left():
                        topic_filter = body.sized().decode()
                        if kind == mqtt.SUBSCRIBE:
                            codes += bytes([body.byte() & 3])
                            self.filters.add(topic_filter)
                        else:
                            codes += b"\0"
                            self.filters.discard(topic_filter)
                    self.changed.notify_all()
                answer = mqtt.SUBACK if kind == mqtt.SUBSCRIBE else mqtt.UNSUBACK
                self._send(answer, 0, struct.pack(">H", identifier) + b"\0" + codes)
            case mqtt.PUBLISH:
                topic = body.sized().decode()
                identifier = body.u16() if flags & 6 else 0
                body.properties()
                with self.changed:
                    self.said.append((topic, json.loads(body.rest())))
                    self.changed.notify_all()
                if identifier:
                    self._send(mqtt.PUBACK, 0, struct.pack(">H", identifier))
            case mqtt.PINGREQ:
                self._send(mqtt.PINGRESP, 0, b"")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        with self.sending:
            assert self.client, "no core is connected"
            self.client.sendall(bytes([kind << 4 | flags]) + mqtt.varint(len(body)) + body)

    @staticmethod
    def _exactly(client: ssl.SSLSocket, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = client.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


class CapturedCloud:
    """Broker and HTTP servers that know the captures of one core, one of them at a time."""

    def __init__(self, folder: pathlib.Path):
        self.events: list[dict[str, Any]] = []
        self.authority = Authority(folder / "authority")
        self.broker = Broker(self.authority.server("x-amzn-mqtt-ca"))
        self.asked: list[tuple[str, str, Any]] = []
        self.objects = self._serve_http(None)
        self.data_plane = self._serve_http(self.authority.server("x-amzn-http-ca", "http/1.1"))

    def close(self) -> None:
        self.broker.close()
        for server in (self.objects, self.data_plane):
            server.shutdown()
            server.server_close()

    def configuration(self) -> dict[str, Any]:
        """What a core needs to find this cloud."""
        made = self.authority.folder
        endpoint = f"localhost:{self.data_plane.server_port}"
        return {
            "system": {"thingName": "core1", "rootCaPath": str(self.authority.ca),
                       "certificateFilePath": str(made / "device.pem"), "privateKeyPath": str(made / "device.key")},
            "services": {"aws.greengrass.Nucleus": {"componentType": "NUCLEUS", "version": "2.18.0", "configuration": {
                "awsRegion": "us-east-1", "iotDataEndpoint": "localhost", "iotCredEndpoint": endpoint,
                "iotRoleAlias": "WireRoleAlias", "greengrassDataPlaneEndpoint": endpoint,
                "mqtt": {"port": self.broker.port},
                "sward": {"awsEndpointUrl": f"http://127.0.0.1:{self.objects.server_port}"}}}},
        }

    def answer(self, method: str, target: str, body: Any) -> tuple[int, bytes]:
        """The captured answer to the same question, or else to one about the same component."""
        def is_same(event: dict[str, Any]) -> bool:
            return (event["kind"] == "http-request" and event["method"] == method
                    and event["target"].split("?")[0] == target.split("?")[0])
        questions = [event for event in self.events if is_same(event)]
        exact = [event for event in questions if event.get("payload") == body]
        about = [event for event in questions if component_of(event.get("payload")) == component_of(body)]
        if not (found := exact or about):
            return 404, b'{"message":"not in the capture"}'
        answer = next(event for event in self.events if event["n"] > found[0]["n"]
                      and event["kind"] == "http-response" and event["target"] == found[0]["target"])
        payload = answer.get("payload")
        if isinstance(payload, dict) and "preSignedUrl" in payload:
            key = payload["preSignedUrl"].split("/", 3)[3]
            payload = {"preSignedUrl": f"http://127.0.0.1:{self.objects.server_port}/{key}"}
        data = json.dumps(payload).encode() if isinstance(payload, dict) else golden.payload(answer)
        return answer["status"], data

    def _serve_http(self, tls: ssl.SSLContext | None) -> http.server.ThreadingHTTPServer:
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                cloud.asked.append((self.command, self.path, body))
                status, data = cloud.answer(self.command, self.path, body)
                # The captured nucleus asked for ranges, a core of ours for the whole.
                self.send_response(200 if status == 206 else status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = reply

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, address: Any) -> None:
                try:
                    request = tls.wrap_socket(request, server_side=True) if tls else request
                    super().finish_request(request, address)
                except OSError:
                    pass  # the core went away

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


def component_of(question: Any) -> Any:
    return question["componentCandidates"][0]["componentName"] if question else None


class Conversation:
    """Plays captures' clouds against one core, and holds what it says against their nucleus."""

    def __init__(self, cloud: CapturedCloud, root: pathlib.Path, deadline: float):
        self.cloud, self.root, self.deadline = cloud, root, deadline
        self.at = 0

    def begin(self) -> None:
        """Both questions of a start, in any order; there is nothing to do."""
        asked = sorted(self.next_said()[0] for _ in range(2))
        next_job = f"$aws/things/core1/jobs/$next/{golden.NAMESPACE}/get"
        assert asked == [next_job, f"$aws/things/core1/shadow/name/{golden.SHADOW}/get"]
        self.cloud.broker.say(f"{next_job}/accepted", b'{"timestamp":1}')

    def play(self, name: str) -> None:
        self.cloud.events = golden.read(name)
        for event in self.cloud.events:
            topic = event.get("topic", "")
            if event["kind"] != "publish" or not is_ours(topic):
                continue
            if event["dir"] == "cloud":
                self.wait(lambda: topic in self.cloud.broker.filters or None, f"a subscription to {topic}")
                self.cloud.broker.say(topic, golden.payload(event))
            else:
                said = self.next_said()
                ours, theirs = plain(*said), plain(topic, event["payload"])
                assert ours == theirs, f"{name}, event {event['n']}: {ours} in place of {theirs}"

    def next_said(self) -> tuple[str, Any]:
        """The next thing that the core says of deployments."""
        def found() -> tuple[str, Any] | None:
            said = [one for one in self.cloud.broker.said if is_ours(one[0])]
            return said[self.at] if len(said) > self.at else None
        said = self.wait(found, "word of the core")
        self.at += 1
        return said

    def fleet_status(self, trigger: str, configuration: str) -> dict[str, Any]:
        """The fleet status about the end of a deployment."""
        def found() -> dict[str, Any] | None:
            for topic, status in self.cloud.broker.said:
                information = status.get("deploymentInformation", {})
                if topic.endswith("/greengrassv2/health/json") and status["trigger"] == trigger \
                        and information.get("fleetConfigurationArnForStatus", "").endswith(configuration):
                    return status
            return None
        return self.wait(found, f"a fleet status about {configuration}")

    def wait(self, check: Any, what: str) -> Any:
        end = time.monotonic() + self.deadline
        broker = self.cloud.broker
        with broker.changed:
            while (found := check()) is None:
                left = end - time.monotonic()
                assert left > 0, f"no {what}; said so far: {broker.said[-5:]}"
                broker.changed.wait(left)
            return found


def is_ours(topic: str) -> bool:
    """Of deployments."""
    return "/jobs/" in topic or f"/shadow/name/{golden.SHADOW}/" in topic


def plain(topic: str, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A message without our own client token, and without the words of a cause: that there is one,
    and the codes, are the protocol's."""
    said = json.loads(json.dumps(said))
    said.pop("clientToken", None)
    for details in (said.get("statusDetails", {}),
                    said.get("state", {}).get("reported", {}).get("statusDetails", {})):
        for key in ("failureCause", "deployment-failure-cause"):
            if details.get(key):
                details[key] = "a cause"
    return topic, said
