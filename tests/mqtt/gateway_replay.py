"""Plays the nucleus's side of a captured conversation against a gateway, packet by packet.

A capture (`../shared/golden/wire/*.jsonl`) is what a real Java nucleus and a cloud said to each other.
`Replay` sends what the nucleus sent, in its order and with its very options, by an independent client
library, and holds the gateway to the recorded protocol answers: CONNACK with its properties, SUBACK,
PUBACK, UNSUBACK. What the services behind the gateway say is held against the captures in tests/wire.
"""

from __future__ import annotations

import base64
import json
import pathlib
import queue
import ssl
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

GOLDEN = pathlib.Path(__file__).resolve().parents[3] / "shared/golden/wire"
DEADLINE = 20.0

def rows(name: str) -> list[dict[str, Any]]:
    """The events of a capture."""
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text().splitlines()]


def captures() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.jsonl"))


def payload_of(row: dict[str, Any]) -> bytes:
    if "…" in row.get("payloadBase64", ""):
        return b"x" * row["payloadBytes"]  # large payloads are shortened in the capture
    if "payloadBase64" in row:
        return base64.b64decode(row["payloadBase64"])
    payload = row.get("payload", "")
    if isinstance(payload, str):
        return payload.encode()
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


class Replay:
    def __init__(self, events: list[dict[str, Any]], host: str, port: int, ca: str, certificate: str, key: str,
                 passed_over: set[int] | None = None):
        self.events, self.host, self.port = events, host, port
        self.context = ssl.create_default_context(cafile=ca)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        self.passed_over = passed_over or set()
        self.clients: dict[str, paho.Client] = {}
        self.queues: dict[tuple[str, str], queue.Queue[Any]] = {}
        self.checked = {"connack": 0, "suback": 0, "puback": 0, "unsuback": 0}

    def run(self) -> "Replay":
        try:
            for event in self.events:
                handler = getattr(self, f"{event['dir']}_{event['kind']}".replace("-", "_"), None)
                if handler and event["n"] not in self.passed_over:
                    try:
                        handler(event)
                    except AssertionError as error:
                        raise AssertionError(f"event {event['n']} ({event['step']}): {error}") from error
        finally:
            for client in self.clients.values():
                client.disconnect()
                client.loop_stop()
        return self

    # What the nucleus says.

    def nucleus_connect(self, event: dict[str, Any]) -> None:
        client_id = event["clientId"]
        v5 = event["protocolVersion"] == 5
        more: dict[str, Any] = {} if v5 else {"clean_session": event["cleanStart"]}
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False,
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311, **more,
        )
        client.tls_set_context(self.context)
        if event["username"] is not None:
            client.username_pw_set(event["username"], event["password"])
        put = lambda kind: lambda _c, _u, *rest: self.queue(client_id, kind).put(rest)  # noqa: E731
        client.on_connect, client.on_disconnect = put("connack"), put("closed")
        client.on_subscribe, client.on_unsubscribe, client.on_publish = put("suback"), put("unsuback"), put("puback")
        properties = None
        if v5:
            properties = Properties(PacketTypes.CONNECT)
            for name, value in event["properties"].items():
                setattr(properties, name[0].upper() + name[1:], value)
        options: dict[str, Any] = {"clean_start": event["cleanStart"], "properties": properties} if v5 else {}
        client.connect(self.host, self.port, event["keepAlive"], **options)
        client.loop_start()
        self.clients[client_id] = client

    def client(self, event: dict[str, Any]) -> paho.Client:
        client_id = event["clientId"]
        if client_id not in self.clients:
            # The capture begins in the middle: connect as its beginning did.
            self.nucleus_connect({
                "clientId": client_id, "protocolVersion": 5, "cleanStart": True, "keepAlive": 60, "password": None,
                "username": "SDK=JavaV2?Version=0.0.0-UNITTEST&SDK=IoTDeviceSDK/Java&Platform=Unix",
                "properties": {"sessionExpiryInterval": 604800, "receiveMaximum": 100, "requestProblemInformation": 1},
            })
            self.take(client_id, "connack")
            self.subscribe_beginning(client_id)
        return self.clients[client_id]

    def subscribe_beginning(self, client_id: str) -> None:
        """The six subscriptions of a core, without its questions."""
        if "#" in client_id:
            return
        base = f"$aws/things/{client_id}"
        jobs, shadow = f"{base}/jobs", f"{base}/shadow/name/AWSManagedGreengrassV2Deployment"
        namespace = "namespace-aws-gg-deployment"
        for text in (f"{jobs}/$next/{namespace}/get/accepted", f"{jobs}/$next/{namespace}/get/rejected",
                     f"{jobs}/notify-{namespace}", f"{shadow}/update/accepted", f"{shadow}/update/rejected",
                     f"{shadow}/get/accepted"):
            self.clients[client_id].subscribe(text, options=SubscribeOptions(qos=1, retainAsPublished=True))
            self.take(client_id, "suback")

    def nucleus_subscribe(self, event: dict[str, Any]) -> None:
        client = self.client(event)
        filters = []
        for entry in event["filters"]:
            text = entry["filter"]
            if "retainHandling" in entry and client.protocol == paho.MQTTv5:
                filters.append((text, SubscribeOptions(entry["qos"], entry["noLocal"], entry["retainAsPublished"], entry["retainHandling"])))
            else:
                filters.append((text, entry["qos"]))
        client.subscribe(filters)

    def nucleus_unsubscribe(self, event: dict[str, Any]) -> None:
        self.client(event).unsubscribe(event["filters"])

    def nucleus_publish(self, event: dict[str, Any]) -> None:
        client = self.client(event)
        properties = None
        if event.get("properties") and client.protocol == paho.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            for name, value in event["properties"].items():
                if name == "userProperty":
                    value = [tuple(pair) for pair in value]
                elif name == "correlationData":
                    value = base64.b64decode(value)
                setattr(properties, name[0].upper() + name[1:], value)
        client.publish(event["topic"], payload_of(event), event["qos"], event["retain"], properties=properties)

    def nucleus_disconnect(self, event: dict[str, Any]) -> None:
        client = self.clients.pop(event["clientId"], None)
        if client:
            client.disconnect()
            client.loop_stop()

    def nucleus_tcp_close(self, event: dict[str, Any]) -> None:
        client = self.clients.pop(event["clientId"], None)
        if client:
            client.loop_stop()
            if client.socket():
                client.socket().close()

    # What the cloud must answer.

    def cloud_connack(self, event: dict[str, Any]) -> None:
        flags, reason, properties = self.take(event["clientId"], "connack")
        assert reason.value == event["reasonCode"], f"CONNACK {reason}"
        assert flags.session_present == event["sessionPresent"], f"session present {flags.session_present}"
        got = properties.json() if properties else {}
        wanted = {"".join([name[0].upper(), name[1:]]): value for name, value in event["properties"].items()}
        assert got == wanted, f"CONNACK properties {got}, recorded {wanted}"
        self.checked["connack"] += 1

    def cloud_suback(self, event: dict[str, Any]) -> None:
        reasons = self.take(event["clientId"], "suback")[1]
        got = [reason.value for reason in reasons]
        assert got == event["reasonCodes"], f"SUBACK {got}"
        self.checked["suback"] += 1

    def cloud_unsuback(self, event: dict[str, Any]) -> None:
        self.take(event["clientId"], "unsuback")
        self.checked["unsuback"] += 1

    def cloud_puback(self, event: dict[str, Any]) -> None:
        _, reason, _ = self.take(event["clientId"], "puback")
        assert not reason.is_failure, f"PUBACK {reason}"
        self.checked["puback"] += 1

    # Plumbing.

    def queue(self, client_id: str, kind: str) -> queue.Queue[Any]:
        return self.queues.setdefault((client_id, kind), queue.Queue())

    def take(self, client_id: str, kind: str) -> Any:
        try:
            return self.queue(client_id, kind).get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError(f"no {kind} within {DEADLINE:.0f} s") from None
