"""Starts the gateway's example program and drives it with real MQTT clients over mutual TLS."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import ssl
import subprocess
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
EXAMPLE = pathlib.Path(os.environ.get("SWARD_GATEWAY_EXAMPLE", TARGET / "debug/examples/standalone"))
DEADLINE = 20.0
ARN = "arn:aws:iot:us-east-1:123456789012:"


def allow(*statements: tuple[str, str]) -> dict[str, Any]:
    """A policy that allows actions on resources, the latter without the ARN's beginning."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": f"iot:{action}", "Resource": ARN + resource if resource != "*" else "*"}
            for action, resource in statements
        ],
    }


EVERYTHING = allow(("*", "*"))


class Gateway:
    """The example program with its folder; can be killed and started again on the same ports."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.clients: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None
        self.ports = {"mqtt": 0, "device": 0}

    def let_in(self, name: str, policy: dict[str, Any] = EVERYTHING, **more: Any) -> None:
        self.clients[name] = {"policy": policy, "things": [name]} | more
        text = json.dumps(self.clients)
        new = self.folder / "clients.json.new"
        new.write_text(text)
        new.rename(self.folder / "clients.json")

    def start(self) -> "Gateway":
        assert EXAMPLE.exists(), f"{EXAMPLE} is missing: cargo build -p sward-gateway --example standalone"
        log = open(self.folder / "gateway.out", "ab")
        self.process = subprocess.Popen(
            [EXAMPLE, "--dir", self.folder, "--mqtt", str(self.ports["mqtt"]), "--device", str(self.ports["device"])],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, (self.folder / "gateway.out").read_text()
        self.ports = json.loads(line)
        return self

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def certificate(self, name: str) -> str:
        return str(self.folder / (self.clients[name].get("certificate") or f"{name}.cert.pem"))

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key.pem")

    def log(self) -> str:
        return (self.folder / "gateway.out").read_text()

    def mosquitto(self, tool: str, name: str, *args: str, port: int | None = None) -> list[str]:
        """The command line of mosquitto_pub or mosquitto_sub for a client."""
        return [
            tool, "-h", "localhost", "-p", str(port or self.ports["mqtt"]), "--cafile", self.ca,
            "--cert", self.certificate(name), "--key", self.key(name), *args,
        ]

    def publish(self, name: str, topic: str, payload: str, *more: str) -> None:
        """Publishes by mosquitto_pub with QoS 1."""
        command = self.mosquitto("mosquitto_pub", name, "-i", f"{name}-pub", "-q", "1", "-t", topic, "-m", payload, *more)
        subprocess.run(command, check=True, timeout=DEADLINE, capture_output=True)

    def tls(self, name: str, protocols: list[str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate(name), self.key(name))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


class Client:
    """A Paho client whose callbacks become queues."""

    def __init__(self, gateway: Gateway, name: str, client_id: str | None = None, version: int = 5,
                 clean: bool = True, expiry: int = 0, protocols: list[str] | None = None, port: int | None = None,
                 keep_alive: int = 60, will: tuple[str, str] | None = None, receive_maximum: int | None = None):
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        kind = paho.MQTTv5 if version == 5 else paho.MQTTv311
        more: dict[str, Any] = {} if version == 5 else {"clean_session": clean}
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id or name, protocol=kind, reconnect_on_failure=False, **more,
        )
        self.paho.tls_set_context(gateway.tls(name, protocols))
        self.paho.on_connect = lambda _c, _u, flags, reason, props: self.events.put(("connect", (flags, reason, props)))
        self.paho.on_disconnect = lambda _c, _u, _f, reason, _p: self.events.put(("disconnect", reason))
        self.paho.on_subscribe = lambda _c, _u, mid, reasons, _p: self.events.put(("subscribe", reasons))
        self.paho.on_unsubscribe = lambda _c, _u, mid, reasons, _p: self.events.put(("unsubscribe", reasons))
        self.paho.on_publish = lambda _c, _u, mid, reason, _p: self.events.put(("publish", (mid, reason)))
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        if will:
            self.paho.will_set(*will, qos=1)
        properties = None
        options: dict[str, Any] = {}
        if version == 5:
            properties = Properties(PacketTypes.CONNECT)
            if expiry:
                properties.SessionExpiryInterval = expiry
            if receive_maximum:
                properties.ReceiveMaximum = receive_maximum
            options = {"clean_start": clean, "properties": properties}
        self.paho.connect("localhost", port or gateway.ports["mqtt"], keep_alive, **options)
        self.paho.loop_start()

    def expect(self, kind: str, deadline: float = DEADLINE) -> Any:
        """The next event of a kind; others before it are passed over."""
        end = time.monotonic() + deadline
        while True:
            try:
                event, value = self.events.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind} within {deadline} s") from None
            if event == kind:
                return value

    def connected(self) -> "Client":
        flags, reason, self.properties = self.expect("connect")
        assert not reason.is_failure, reason
        self.session_present = flags.session_present
        return self

    def subscribe(self, topic: str, qos: int = 1) -> list[int]:
        self.paho.subscribe(topic, qos)
        return [reason.value for reason in self.expect("subscribe")]

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, retain: bool = False, **properties: Any) -> Any:
        """Publishes; with QoS 1 the reason of the PUBACK."""
        wire = None
        if properties:
            wire = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(wire, name, value)
        info = self.paho.publish(topic, payload, qos, retain, properties=wire)
        if qos:
            while True:
                mid, reason = self.expect("publish")
                if mid == info.mid:
                    return reason.value
        return None

    def message(self, deadline: float = DEADLINE) -> paho.MQTTMessage:
        try:
            return self.messages.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(f"no message within {deadline} s") from None

    def text(self) -> tuple[str, str]:
        message = self.message()
        return message.topic, message.payload.decode()

    def drop(self) -> None:
        """Breaks the connection off without a DISCONNECT."""
        self.paho.loop_stop()
        socket = self.paho.socket()
        if socket:
            socket.close()

    def leave(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()
