"""What a cloud said to a real Java nucleus, said to a whole core of ours over real sockets: TLS, MQTT,
the data plane and the object store. It must say the same words back, and run what was deployed.
"""

import json

import captured_cloud
import pytest
import sward_testkit as kit


@pytest.fixture
def captured(folder):
    """A running core and the conversation with it, after the questions of its start."""
    cloud = captured_cloud.CapturedCloud(folder)
    root = folder / "core1"
    configuration = folder / "config.json"
    configuration.write_text(json.dumps(cloud.configuration()))
    program = kit.Program(
        "core1", [str(kit.BIN), "core", "--root", str(root), "--init-config", str(configuration)], folder)
    conversation = captured_cloud.Conversation(cloud, root, kit.DEADLINE)
    conversation.begin()
    yield conversation
    assert program.stop() == 0
    cloud.close()


def resolved(cloud):
    """What the core asked the cloud to resolve, by component."""
    bodies = [body for _, path, body in cloud.asked if path.endswith("/resolveComponentCandidates")]
    return {captured_cloud.component_of(body): body for body in bodies}


def captured_questions(cloud):
    questions = [event["payload"] for event in cloud.events
                 if event["kind"] == "http-request" and event["target"].endswith("/resolveComponentCandidates")]
    return {captured_cloud.component_of(body): body for body in questions}


def test_group_deployments(captured):
    captured.play("java-job-deployment")
    asked, theirs = resolved(captured.cloud), captured_questions(captured.cloud)
    art = "com.example.Art"
    assert asked[art] == theirs[art]
    status = captured.fleet_status("THING_GROUP_DEPLOYMENT", "thinggroup/G1:1")
    shown = {row["componentName"]: row for row in status["components"]}
    assert shown[art]["fleetConfigArns"] == [status["deploymentInformation"]["fleetConfigurationArnForStatus"]]
    assert shown[art]["isRoot"] and shown[art]["version"] == "1.0.0"
    for path in ("gg_file.txt", "s3.txt"):
        assert (captured.root / "packages/artifacts" / art / "1.0.0" / path).is_file()
    captured.play("java-job-failures")
    captured.play("java-job-stale")


def test_thing_deployments(captured):
    captured.play("java-thing-deployment")
    captured.fleet_status("THING_DEPLOYMENT", "thing/core1:2")
    captured.play("java-thing-deployment-failures")


def test_a_shadow_that_others_write(captured):
    captured.play("java-shadow-conflict")


def test_a_thing_deployment_replaced_and_canceled(captured):
    captured.play("java-thing-deployment-replaced")
