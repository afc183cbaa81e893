"""Who is let in, and what policies allow: each action with its statement and without it."""

import http.client
import json
import subprocess

import pytest
from gateway_testkit import EVERYTHING, Client, allow

CONNECT = ("Connect", "client/*")


def let_in(gateway, *statements):
    gateway.let_in("core1", allow(*statements))


@pytest.fixture
def watcher(gateway):
    watcher = Client(gateway, "app1").connected()
    watcher.subscribe("#")
    return watcher


@pytest.mark.parametrize("version", [4, 5])
def test_connect(gateway, version):
    let_in(gateway, ("Connect", "client/core1"))
    Client(gateway, "core1", version=version).connected().leave()
    _, reason, _ = Client(gateway, "core1", "core2", version=version).expect("connect")
    assert reason.value == 0x87, reason


def test_connect_by_the_name_of_the_thing(gateway):
    let_in(gateway, ("Connect", "client/${iot:Connection.Thing.ThingName}*"))
    Client(gateway, "core1").connected().leave()
    Client(gateway, "core1", "core1#2").connected().leave()
    _, reason, _ = Client(gateway, "core1", "other").expect("connect")
    assert reason.is_failure


def test_publish(gateway, watcher):
    let_in(gateway, CONNECT, ("Publish", "topic/may/*"))
    client = Client(gateway, "core1").connected()
    assert client.publish("may/x", "1") == 0
    assert watcher.text() == ("may/x", "1")
    assert client.publish("not/x", "2") == 0x87
    assert client.publish("may/x", "3") == 0
    assert watcher.text() == ("may/x", "3")
    client.publish("not/x", "4", 0)
    assert client.expect("disconnect").value == 0x87
    old = Client(gateway, "core1", version=4).connected()
    old.paho.publish("not/x", "5", 1)
    old.expect("disconnect")
    assert watcher.messages.empty()


def test_retain(gateway, watcher):
    let_in(gateway, CONNECT, ("Publish", "topic/*"))
    client = Client(gateway, "core1").connected()
    assert client.publish("r", "1", retain=True) == 0x87
    let_in(gateway, CONNECT, ("Publish", "topic/*"), ("RetainPublish", "topic/r"))
    client = Client(gateway, "core1").connected()
    assert client.publish("r", "2", retain=True) == 0
    assert watcher.text() == ("r", "2")


@pytest.mark.parametrize("version,refused", [(4, 0x80), (5, 0x87)])
def test_subscribe(gateway, version, refused):
    let_in(gateway, CONNECT, ("Subscribe", "topicfilter/may/+"), ("Receive", "topic/*"), ("Publish", "topic/*"))
    client = Client(gateway, "core1", version=version).connected()
    assert client.subscribe("not/+") == [refused]
    assert client.subscribe("may/+") == [1]
    client.publish("not/x", "1")
    client.publish("may/x", "2")
    assert client.text() == ("may/x", "2")


def test_receive(gateway):
    let_in(gateway, CONNECT, ("Subscribe", "topicfilter/*"), ("Receive", "topic/may/*"))
    client = Client(gateway, "core1").connected()
    client.subscribe("#")
    writer = Client(gateway, "app1").connected()
    for index in range(150):  # more than the window: what is dropped must not fill it
        writer.publish("not/x", str(index))
    writer.publish("may/x", "seen")
    assert client.text() == ("may/x", "seen")


def test_a_changed_policy_counts_at_once_for_those_who_are_connected(gateway):
    client = Client(gateway, "core1").connected()
    assert client.publish("t", "1") == 0
    let_in(gateway, CONNECT)

    def refused():
        return client.publish("t", "2") == 0x87
    wait(refused)
    gateway.let_in("core1", EVERYTHING, active=False)
    client.expect("disconnect")


def wait(check):
    import time
    end = time.monotonic() + 10
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_unregistered_or_inactive_certificate_is_not_let_in(gateway):
    gateway.let_in("core1", EVERYTHING, active=False)
    client = Client(gateway, "core1")
    client.expect("disconnect")
    assert "INACTIVE" in gateway.log()
    gateway.clients.pop("core1")
    gateway.let_in("app1")
    gateway.clients["core1"] = {}
    Client(gateway, "core1").expect("disconnect")
    assert "is not registered" in gateway.log()


def test_a_certificate_of_x509_version_1_made_by_openssl_is_let_in(gateway):
    folder = gateway.folder
    run = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)  # noqa: E731
    run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "old.key.pem", "-out", "old.csr", "-subj", "/CN=old")
    run("x509", "-req", "-in", "old.csr", "-signkey", "old.key.pem", "-out", "old.pem", "-days", "2")
    shown = subprocess.run(["openssl", "x509", "-in", "old.pem", "-noout", "-text"], capture_output=True, text=True, cwd=folder).stdout
    assert "Version: 1" in shown, shown
    gateway.let_in("old", EVERYTHING, certificate="old.pem")
    client = Client(gateway, "old").connected()
    assert client.publish("t", "x") == 0


def test_the_device_port_tells_mqtt_from_https_by_alpn(gateway):
    port = gateway.ports["device"]
    for protocols in (["x-amzn-mqtt-ca"], None):  # without ALPN the first byte decides
        client = Client(gateway, "core1", protocols=protocols, port=port).connected()
        assert client.publish("t", "x") == 0
    for protocols in (["x-amzn-http-ca", "http/1.1"], ["http/1.1"], None):
        connection = http.client.HTTPSConnection("localhost", port, context=gateway.tls("core1", protocols), timeout=10)
        connection.request("GET", "/greengrass/v2/x")
        answer = json.loads(connection.getresponse().read())
        assert answer["path"] == "/greengrass/v2/x" and len(answer["certificateId"]) == 64
    # A browser has no certificate, and is the handler's business.
    import ssl
    plain = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=gateway.ca), timeout=10)
    plain.request("GET", "/")
    assert json.loads(plain.getresponse().read())["certificateId"] is None


def test_the_mqtt_port_takes_clients_with_any_alpn(gateway):
    for protocols in (["x-amzn-mqtt-ca"], ["mqtt"], ["something-else"], None):
        Client(gateway, "core1", protocols=protocols).connected().leave()
