"""Thing deployments that one MQTT message holds once, but not twice."""

import json

import device as devices
from golden import SHADOW

CONFIGURATION = "x" * 80_000


def test_large_thing_deployments(wire_cloud):
    """Each one reaches a device that listens, and one that comes back and asks."""
    device = devices.Device(wire_cloud, "large")
    base = f"$aws/things/large/shadow/name/{SHADOW}"
    api = wire_cloud.client("greengrassv2")
    connection = device.mqtt()
    connection.connect("large", clean=True)
    for answer in ("update/accepted", "get/accepted"):
        connection.subscribe(f"{base}/{answer}")
    for number in range(3):
        merge = json.dumps({"number": number, "large": CONFIGURATION})
        made = api.create_deployment(
            targetArn=wire_cloud.arn("thing/large"),
            components={"com.example.Large": {
                "componentVersion": "1.0.0", "configurationUpdate": {"merge": merge}}})
        for answer in ("update/accepted", "get/accepted"):
            if answer.startswith("get"):
                connection.publish(f"{base}/get", b"{}")
            state = json.loads(connection.take(f"{base}/{answer}").payload)["state"]
            assert made["deploymentId"] in state["desired"]["fleetConfig"]
    connection.disconnect()
    connection.close()
