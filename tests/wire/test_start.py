"""What a nucleus does first, by either version of MQTT, and when it starts again."""

import pathlib

import golden
from replay import Replay


def test_every_capture_is_replayed():
    tests = "".join(path.read_text() for path in pathlib.Path(__file__).parent.glob("test_*.py"))
    missing = [path.stem for path in golden.FOLDER.glob("*.jsonl") if f'"{path.stem}"' not in tests]
    assert not missing


def test_start(wire_cloud):
    """Six subscriptions, two gets, and the device is HEALTHY by its own word."""
    replay = Replay(wire_cloud, "java-start")
    devices = replay.api.list_core_devices()["coreDevices"]
    assert replay.thing not in [row["coreDeviceThingName"] for row in devices]
    replay.run()
    row = replay.api.get_core_device(coreDeviceThingName=replay.thing)
    assert row["status"] == "HEALTHY"
    assert row["runtime"] == "aws_nucleus_classic"


def test_mqtt_3_start_keeps_the_session(wire_cloud):
    """A clean connection, then the real one; what is published while it is away arrives later."""
    replay = Replay(wire_cloud, "java-mqtt3-start")
    # The capture's "present" is no evidence: the first connection had a clean session.
    replay.event(6)["sessionPresent"] = False
    replay.tolerated.append(replay.shadow_topic("get/rejected"))
    replay.run()
    deployment = replay.api.create_deployment(
        targetArn=wire_cloud.arn(f"thing/{replay.thing}"), components={})["deploymentId"]
    again = replay.event(5)
    replay.nucleus_connect(again)
    assert replay.connack.session_present is True
    message = replay.main.take(replay.shadow_topic("update/accepted"))
    assert deployment in message.payload.decode()
    assert message.qos == 1


def test_restart_cadence_and_telemetry(wire_cloud):
    """An orderly stop, a clean start over a finished deployment, refused credentials, telemetry."""
    replay = Replay(wire_cloud, "java-restart-cadence-telemetry")
    replay.after_launch = lambda: replay.settle(19)
    replay.run()


def test_token_exchange(wire_cloud):
    """Credentials for the certificate of the thing, by the policy that allows it."""
    replay = Replay(wire_cloud, "java-token-exchange").run()
    sts = wire_cloud.client("sts")
    keys = replay.credentials
    import boto3
    where = wire_cloud.endpoints()
    caller = boto3.client(
        "sts", endpoint_url=where["api"], region_name=where["region"], aws_access_key_id=keys["accessKeyId"],
        aws_secret_access_key=keys["secretAccessKey"], aws_session_token=keys["sessionToken"],
    ).get_caller_identity()
    certificate = replay.device.certificate_arn.rsplit("/", 1)[1]
    assert caller["Arn"] == f"arn:aws:sts::{where['account']}:assumed-role/{replay.thing}-role/{certificate}"
    assert sts.get_caller_identity()["Arn"] != caller["Arn"]
    status, _, _ = replay.device.https(
        "GET", f"/role-aliases/{replay.device.alias}/credentials", headers={"x-amzn-iot-thingname": "another"})
    assert status == 403
