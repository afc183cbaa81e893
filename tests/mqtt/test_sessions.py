"""Sessions that outlive connections and the gateway's own death."""

import subprocess

import pytest
from gateway_testkit import DEADLINE, Client

VERSIONS = [4, 5]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_persistent_session_survives_a_kill(gateway, version):
    reader = Client(gateway, "core1", version=version, clean=False, expiry=3600).connected()
    assert reader.session_present is False
    reader.subscribe("t/#")
    reader.leave()
    for index in range(20):
        gateway.publish("app1", f"t/{index}", f"before {index}") if index < 3 else None
    writer = Client(gateway, "app1", "writer").connected()
    for index in range(3, 120):
        assert writer.publish(f"t/{index}", f"before {index}") == 0
    gateway.kill()
    gateway.start()
    reader = Client(gateway, "core1", version=version, clean=False, expiry=3600).connected()
    assert reader.session_present is True
    got = [reader.text() for _ in range(120)]
    assert got == [(f"t/{index}", f"before {index}") for index in range(120)]
    gateway.publish("app1", "t/new", "after")
    assert reader.text() == ("t/new", "after")
    reader.leave()
    # What was acknowledged does not come again: the acknowledgement is remembered before the next
    # message for this session is.
    gateway.publish("app1", "t/between", "between")
    gateway.kill()
    gateway.start()
    reader = Client(gateway, "core1", version=version, clean=False, expiry=3600).connected()
    assert reader.text() == ("t/between", "between")
    gateway.publish("app1", "t/last", "last")
    assert reader.text() == ("t/last", "last")


def test_retained_messages_survive_a_kill(gateway):
    gateway.publish("app1", "r/1", "kept", "-r")
    gateway.publish("app1", "r/2", "cleared", "-r")
    writer = Client(gateway, "app1").connected()
    writer.publish("r/2", "", retain=True)
    gateway.kill()
    gateway.start()
    reader = Client(gateway, "core1").connected()
    reader.subscribe("r/+")
    assert reader.text() == ("r/1", "kept")
    gateway.publish("app1", "r/3", "end")
    assert reader.text() == ("r/3", "end")


def test_a_clean_session_ends_with_its_connection(gateway):
    reader = Client(gateway, "core1", version=4, clean=True).connected()
    reader.subscribe("t")
    reader.leave()
    again = Client(gateway, "core1", version=4, clean=False).connected()
    assert again.session_present is False
    again.subscribe("u")
    again.leave()
    clean = Client(gateway, "core1", version=4, clean=True).connected()
    assert clean.session_present is False
    clean.leave()
    assert Client(gateway, "core1", version=4, clean=False).connected().session_present is False


def test_unacknowledged_messages_come_again_after_a_broken_connection(gateway):
    reader = Client(gateway, "core1", clean=True, expiry=600).connected()
    reader.subscribe("t")
    reader.paho.loop_stop()  # it reads nothing more, so nothing is acknowledged
    for index in range(5):
        gateway.publish("app1", "t", str(index))
    reader.drop()
    again = Client(gateway, "core1", clean=False, expiry=600).connected()
    assert again.session_present is True
    messages = [again.message() for _ in range(5)]
    assert [message.payload.decode() for message in messages] == ["0", "1", "2", "3", "4"]


def test_qos_0_is_not_kept_for_those_who_are_away(gateway):
    reader = Client(gateway, "core1", expiry=600).connected()
    reader.subscribe("t")
    reader.leave()
    writer = Client(gateway, "app1").connected()
    writer.publish("t", "zero", 0)
    writer.publish("t", "one", 1)
    again = Client(gateway, "core1", clean=False, expiry=600).connected()
    assert again.text() == ("t", "one")


def test_mosquitto_comes_back_to_its_session(gateway):
    sub = gateway.mosquitto("mosquitto_sub", "core1", "-i", "core1", "-c", "-q", "1", "-t", "t")
    subprocess.run([*sub, "-E"], check=True, timeout=DEADLINE)
    for index in range(3):
        gateway.publish("app1", "t", str(index))
    gateway.kill()
    gateway.start()
    out = subprocess.run([*sub, "-C", "3"], check=True, timeout=DEADLINE, capture_output=True, text=True).stdout
    assert out.split() == ["0", "1", "2"]


def test_a_window_holds_back_and_then_lets_go(gateway):
    reader = Client(gateway, "core1", receive_maximum=2, expiry=600).connected()
    reader.subscribe("t")
    writer = Client(gateway, "app1").connected()
    for index in range(300):
        assert writer.publish("t", str(index)) == 0
    assert [reader.message().payload.decode() for _ in range(300)] == [str(index) for index in range(300)]
