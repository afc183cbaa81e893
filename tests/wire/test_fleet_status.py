"""What a device says of itself is what the API shows, and nothing else."""

from replay import Replay


def test_triggers(wire_cloud):
    """A local deployment, a crash until BROKEN."""
    replay = Replay(wire_cloud, "java-fleet-status-triggers").run()
    row = replay.installed()["com.example.Crash"]
    assert row["lifecycleState"] == "BROKEN"
    assert row["lifecycleStatusCodes"] == ["RUN_ERROR"]
    assert "exited with code 4" in row["lifecycleStateDetails"]
    assert replay.api.get_core_device(coreDeviceThingName=replay.thing)["status"] == "UNHEALTHY"
    unhealthy = replay.api.list_core_devices(status="UNHEALTHY")["coreDevices"]
    assert replay.thing in [one["coreDeviceThingName"] for one in unhealthy]


def test_forty_components(wire_cloud):
    """One message of 10 kB, and all forty removed again."""
    replay = Replay(wire_cloud, "java-fleet-status-forty").run()
    assert not [name for name in replay.installed() if "Tiny" in name]


def test_chunks_are_joined(wire_cloud):
    """442 components in two chunks: shown when the second is there, as one message."""
    # A short name, so that chunks filled to 128,000 bytes stay within MQTT's 128 KiB.
    replay = Replay(wire_cloud, "java-fleet-status-chunked", thing="c")
    replay.after_launch = lambda: replay.settle(96)
    before = {}
    replay.before[99] = lambda: before.update(replay.installed())
    replay.run()
    assert len(before) < 400 < len(replay.installed())
