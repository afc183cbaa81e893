"""Messages between real clients: mosquitto, Paho and the AWS IoT Device SDK over mutual TLS."""

import subprocess
import threading

import pytest
from gateway_testkit import DEADLINE, Client

VERSIONS = [4, 5]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_what_mosquitto_pub_sends_reaches_mosquitto_sub(gateway, version):
    watcher = Client(gateway, "app1", "watcher").connected()
    watcher.subscribe("$aws/events/subscriptions/subscribed/core1")
    command = gateway.mosquitto("mosquitto_sub", "core1", "-V", version, "-i", "core1", "-q", "1", "-t", "a/+/c", "-C", "2", "-v")
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watcher.message()
    gateway.publish("app1", "a/b/c", "hello", "-V", version)
    gateway.publish("app1", "a/b/d", "not for you", "-V", version)
    gateway.publish("app1", "a/x/c", "world", "-V", version)
    out, _ = reader.communicate(timeout=DEADLINE)
    assert out.splitlines() == ["a/b/c hello", "a/x/c world"]


@pytest.mark.parametrize("reader_version", VERSIONS)
@pytest.mark.parametrize("writer_version", VERSIONS)
def test_both_versions_hear_each_other(gateway, reader_version, writer_version):
    reader = Client(gateway, "core1", version=reader_version).connected()
    assert reader.subscribe("t/#") == [1]
    writer = Client(gateway, "app1", version=writer_version).connected()
    assert writer.publish("t/1", "one", 0) is None
    assert writer.publish("t/2", "two", 1) == 0
    assert {reader.text(), reader.text()} == {("t/1", "one"), ("t/2", "two")}
    reader.leave(), writer.leave()


def test_the_properties_of_mqtt_5_travel(gateway):
    reader = Client(gateway, "core1").connected()
    reader.subscribe("t")
    writer = Client(gateway, "app1").connected()
    writer.publish("t", "x", ContentType="text/plain", ResponseTopic="back", CorrelationData=b"\x00\x01",
                   PayloadFormatIndicator=1, MessageExpiryInterval=60, UserProperty=[("a", "1"), ("a", "2")])
    got = reader.message().properties
    assert got.ContentType == "text/plain" and got.ResponseTopic == "back"
    assert got.CorrelationData == b"\x00\x01" and got.PayloadFormatIndicator == 1
    assert 0 < got.MessageExpiryInterval <= 60
    assert got.UserProperty == [("a", "1"), ("a", "2")]


def test_connack_grants_what_aws_grants(gateway):
    client = Client(gateway, "core1", expiry=604800).connected()
    granted = client.properties
    assert granted.SessionExpiryInterval == 604800 and granted.ReceiveMaximum == 100
    assert granted.MaximumQoS == 1 and granted.RetainAvailable == 1 and granted.MaximumPacketSize == 149504
    assert granted.TopicAliasMaximum == 8 and granted.SubscriptionIdentifierAvailable == 0
    assert granted.SharedSubscriptionAvailable == 1 and granted.ServerKeepAlive == 60


def test_qos_2_is_granted_as_1_and_a_qos_2_message_ends_the_connection(gateway):
    client = Client(gateway, "core1", version=4).connected()
    assert client.subscribe("t", 2) == [1]
    client.paho.publish("t", "x", 2)
    client.expect("disconnect")


def test_limits_of_topics_and_payloads_end_the_connection(gateway):
    for topic, payload in [("1/2/3/4/5/6/7/8/9", "x"), ("x" * 257, "x"), ("$SYS/x", "x"), ("t", b"x" * 131073)]:
        client = Client(gateway, "core1", version=4).connected()
        client.paho.publish(topic, payload, 1)
        client.expect("disconnect")
    client = Client(gateway, "core1").connected()
    client.subscribe("t")
    assert client.publish("t", b"x" * 131072) == 0
    assert len(client.message().payload) == 131072


def test_a_retained_message_waits_for_subscribers_until_it_is_cleared(gateway):
    writer = Client(gateway, "app1").connected()
    writer.publish("r/1", "kept", retain=True)
    reader = Client(gateway, "core1").connected()
    reader.subscribe("r/+")
    message = reader.message()
    assert (message.topic, message.payload, message.retain) == ("r/1", b"kept", True)
    writer.publish("r/1", "", retain=True)
    assert reader.message().payload == b""
    late = Client(gateway, "core1", "late").connected()
    late.subscribe("r/+")
    writer.publish("r/2", "end")
    assert late.text() == ("r/2", "end")


def test_members_of_a_group_share_the_messages(gateway):
    members = [Client(gateway, "core1", f"m{index}").connected() for index in range(3)]
    for member in members:
        assert member.subscribe("$share/g/work/+") == [1]
    writer = Client(gateway, "app1").connected()
    for index in range(30):
        writer.publish("work/x", str(index))
    counts = []
    for member in members:
        got = [member.message().payload for _ in range(10)]
        assert member.messages.empty()
        counts.extend(got)
    assert sorted(counts, key=int) == [str(index).encode() for index in range(30)]


def test_a_lost_client_leaves_its_will_and_a_leaving_one_does_not(gateway):
    reader = Client(gateway, "core1").connected()
    reader.subscribe("will/#")
    Client(gateway, "app1", "lost", will=("will/lost", "gone")).connected().drop()
    assert reader.text() == ("will/lost", "gone")
    Client(gateway, "app1", "left", will=("will/left", "gone")).connected().leave()
    Client(gateway, "app1", "lost2", will=("will/lost2", "gone")).connected().drop()
    assert reader.text() == ("will/lost2", "gone")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_connection_takes_the_client_id(gateway, version):
    first = Client(gateway, "core1", version=version).connected()
    second = Client(gateway, "core1", version=version).connected()
    reason = first.expect("disconnect")
    if version == 5:
        assert reason.value == 0x8E
    further = Client(gateway, "core1", "core1#2", version=version).connected()
    assert second.subscribe("t") == [1]
    assert further.publish("t", "both are there") == 0
    assert second.text() == ("t", "both are there")


def test_a_service_answers_also_without_a_subscription(gateway):
    client = Client(gateway, "core1").connected()
    asked = "$aws/things/core1/jobs/$next/namespace-aws-gg-deployment/get"
    assert client.publish(asked, '{"clientToken":"x"}') == 0
    assert client.text() == (asked + "/accepted", '{"clientToken":"x"}')


def test_a_subscribed_asker_gets_the_answer_once(gateway):
    client = Client(gateway, "core1").connected()
    client.subscribe("$aws/things/core1/shadow/#")
    client.publish("$aws/things/core1/shadow/get", "1")
    client.publish("$aws/things/core1/shadow/update", "2")
    topics = [client.message().topic for _ in range(4)]
    assert topics.count("$aws/things/core1/shadow/get/accepted") == 1
    assert topics.count("$aws/things/core1/shadow/update/accepted") == 1
    assert client.messages.empty()


def test_a_reserved_topic_of_no_service_ends_the_connection(gateway):
    client = Client(gateway, "core1", version=4).connected()
    client.paho.publish("$aws/unknown/x", "x", 1)
    client.expect("disconnect")


def test_a_service_that_is_down_leaves_the_message_unacknowledged(gateway):
    client = Client(gateway, "core1").connected()
    assert client.publish("$aws/things/core1/down/x", "x") == 0x83
    old = Client(gateway, "app1", version=4).connected()
    old.paho.publish("$aws/things/core1/down/x", "x", 1)
    old.expect("disconnect")


def test_wildcards_do_not_show_reserved_topics(gateway):
    client = Client(gateway, "core1").connected()
    client.subscribe("#")
    client.publish("$aws/things/core1/shadow/get", "hidden")
    client.publish("t", "seen")
    topics = {client.message().topic, client.message().topic}
    # The answer comes by being asked for, the request itself does not.
    assert topics == {"$aws/things/core1/shadow/get/accepted", "t"}


def test_presence_is_told(gateway):
    import json
    watcher = Client(gateway, "app1").connected()
    watcher.subscribe("$aws/events/presence/+/core1")
    watcher.subscribe("$aws/events/subscriptions/+/core1")
    core = Client(gateway, "core1").connected()
    topic, body = watcher.text()
    event = json.loads(body)
    assert topic == "$aws/events/presence/connected/core1"
    assert event["eventType"] == "connected" and event["clientId"] == "core1" and len(event["principalIdentifier"]) == 64
    core.subscribe("t")
    topic, body = watcher.text()
    assert topic == "$aws/events/subscriptions/subscribed/core1" and json.loads(body)["topics"] == ["t"]
    core.leave()
    topic, body = watcher.text()
    event = json.loads(body)
    assert topic == "$aws/events/presence/disconnected/core1"
    assert event["clientInitiatedDisconnect"] is True
    assert event["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


def test_the_device_sdk_connects_publishes_and_subscribes(gateway):
    from awscrt import mqtt5
    from awsiot import mqtt5_client_builder

    connected, stopped, got = threading.Event(), threading.Event(), []
    received = threading.Event()

    def on_message(data):
        got.append((data.publish_packet.topic, data.publish_packet.payload))
        received.set()

    client = mqtt5_client_builder.mtls_from_path(
        endpoint="localhost", port=gateway.ports["device"], cert_filepath=gateway.certificate("core1"),
        pri_key_filepath=gateway.key("core1"), ca_filepath=gateway.ca, client_id="core1",
        on_lifecycle_connection_success=lambda _: connected.set(), on_lifecycle_stopped=lambda _: stopped.set(),
        on_publish_received=on_message,
    )
    client.start()
    assert connected.wait(DEADLINE), gateway.log()
    suback = client.subscribe(mqtt5.SubscribePacket(subscriptions=[mqtt5.Subscription("sdk/#", mqtt5.QoS.AT_LEAST_ONCE)]))
    assert suback.result(DEADLINE).reason_codes == [1]
    sent = client.publish(mqtt5.PublishPacket(topic="sdk/x", payload=b"hi", qos=mqtt5.QoS.AT_LEAST_ONCE))
    assert sent.result(DEADLINE).puback.reason_code == 0
    assert received.wait(DEADLINE)
    assert got == [("sdk/x", b"hi")]
    client.stop()
    assert stopped.wait(DEADLINE)


def test_the_device_sdk_of_mqtt_3_connects(gateway):
    from awscrt import mqtt
    from awsiot import mqtt_connection_builder

    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="localhost", port=gateway.ports["mqtt"], cert_filepath=gateway.certificate("core1"),
        pri_key_filepath=gateway.key("core1"), ca_filepath=gateway.ca, client_id="core1", clean_session=False,
        keep_alive_secs=30,
    )
    assert connection.connect().result(DEADLINE)["session_present"] is False
    got = threading.Event()
    future, _ = connection.subscribe("sdk3", mqtt.QoS.AT_LEAST_ONCE, lambda **_: got.set())
    assert future.result(DEADLINE)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    connection.publish("sdk3", "x", mqtt.QoS.AT_LEAST_ONCE)[0].result(DEADLINE)
    assert got.wait(DEADLINE)
    connection.disconnect().result(DEADLINE)
