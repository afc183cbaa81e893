"""Deployments to one thing travel by its named shadow."""

from replay import Replay


def status_of(replay, revision):
    arn = f"arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:{revision}"
    return replay.api.get_deployment(deploymentId=replay.deployments[arn])["deploymentStatus"]


def test_thing_deployment(wire_cloud):
    """Delivered, reported with rising versions; the same ARN again changes nothing; then revised."""
    replay = Replay(wire_cloud, "java-thing-deployment").run()
    assert status_of(replay, 1) == "INACTIVE"
    assert status_of(replay, 2) == "COMPLETED"
    rows = replay.api.list_effective_deployments(coreDeviceThingName=replay.thing)["effectiveDeployments"]
    assert [row["deploymentName"] for row in rows] == ["wire"]


def test_failures(wire_cloud):
    """Rollback, DO_NOTHING, a capability of the future and a missing component."""
    replay = Replay(wire_cloud, "java-thing-deployment-failures").run()
    assert status_of(replay, 6) == "FAILED"
    (row,) = replay.api.list_effective_deployments(coreDeviceThingName=replay.thing)["effectiveDeployments"]
    assert "com.example.Nosuch" in row["reason"]


def test_replaced_and_canceled(wire_cloud):
    """A newer deployment overtakes a running one; a running one is cancelled; the next one works."""
    replay = Replay(wire_cloud, "java-thing-deployment-replaced").run()
    assert status_of(replay, 9) in ("CANCELED", "INACTIVE")
    assert status_of(replay, 10) == "COMPLETED"


def test_shadow_conflict(wire_cloud):
    """An outdated version is refused with 409, the get is answered, the second update is taken."""
    replay = Replay(wire_cloud, "java-shadow-conflict").run()
    assert status_of(replay, 22) == "COMPLETED"
