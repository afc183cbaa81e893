"""One deployment's whole trip to a single thing, with the AWS CLI alone."""

import json
import re
import zipfile

import pytest
import sward_testkit as kit

PUBSUB = r'''
"""Uses every basic service of the core through the unmodified IoT Device SDK."""
import json, sys, threading, time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import BinaryMessage, PublishMessage, QOS

ipc = GreengrassCoreIPCClientV2()
say = lambda text: print(text, flush=True)

configuration = ipc.get_configuration(component_name="com.example.Pubsub").value
say(f"configuration {json.dumps(configuration, sort_keys=True)}")

local = threading.Event()
def on_local(event):
    say(f"local {event.binary_message.message.decode()} on {event.binary_message.context.topic}")
    local.set()
ipc.subscribe_to_topic(topic="local/hello", on_stream_event=on_local)
ipc.publish_to_topic(topic="local/hello",
                     publish_message=PublishMessage(binary_message=BinaryMessage(message=b"one")))
assert local.wait(10), "no local message"

def on_cloud(event):
    say(f"cloud {event.message.payload.decode()} on {event.message.topic_name}")
    ipc.publish_to_iot_core(topic_name="from/core1", qos=QOS.AT_LEAST_ONCE,
                            payload=b"echo " + event.message.payload)
ipc.subscribe_to_iot_core(topic_name="to/core1/#", qos=QOS.AT_LEAST_ONCE, on_stream_event=on_cloud)

ipc.update_configuration(key_path=["Counter"], timestamp=__import__("datetime").datetime.now(),
                         value_to_merge={"starts": 7})
say("counter %s" % ipc.get_configuration(component_name="com.example.Pubsub", key_path=["Counter"]).value)

for forbidden, call in {
    "publish": lambda: ipc.publish_to_topic(topic="other/topic", publish_message=PublishMessage(
        binary_message=BinaryMessage(message=b"x"))),
    "iotcore": lambda: ipc.publish_to_iot_core(topic_name="not/allowed", qos=QOS.AT_LEAST_ONCE, payload=b"x"),
}.items():
    try:
        call()
        say(f"{forbidden} was allowed")
    except Exception as error:
        say(f"{forbidden} refused: {type(error).__name__}")
say("ready")
while True:
    time.sleep(60)
'''

ACCESS = {
    "aws.greengrass.ipc.pubsub": {"com.example.Pubsub:pubsub:1": {
        "policyDescription": "local messages",
        "operations": ["aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"],
        "resources": ["local/hello"]}},
    "aws.greengrass.ipc.mqttproxy": {"com.example.Pubsub:mqttproxy:1": {
        "policyDescription": "IoT Core messages",
        "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
        "resources": ["to/core1/#", "from/core1"]}},
}


def pubsub_recipe(version: str, bucket: str) -> dict:
    return kit.recipe(
        "com.example.Pubsub", version,
        f"{kit.PYTHON} -u {{artifacts:path}}/pubsub.py",
        configuration={"accessControl": ACCESS, "Greeting": "hello", "List": [1, 2]},
        artifacts=[{"URI": f"s3://{bucket}/pubsub.py"},
                   {"URI": f"s3://{bucket}/several.zip", "Unarchive": "ZIP"}],
        lifecycle={
            "install": "cat {artifacts:decompressedPath}/several/inner/data.txt",
            "run": f"{kit.PYTHON} -u {{artifacts:path}}/pubsub.py",
        },
    )


@pytest.fixture
def bucket(cloud, tmp_path):
    cloud.aws("s3", "mb", "s3://components")
    (tmp_path / "pubsub.py").write_text(PUBSUB)
    with zipfile.ZipFile(tmp_path / "several.zip", "w") as archive:
        archive.writestr("inner/data.txt", "unpacked data\n")
        archive.writestr("other.txt", "more\n")
    cloud.aws("s3", "cp", tmp_path / "pubsub.py", "s3://components/pubsub.py")
    cloud.aws("s3", "cp", tmp_path / "several.zip", "s3://components/several.zip")
    return "components"


def test_the_whole_trip(cloud, core, bucket):
    """F-trip: component from S3, thing deployment, IPC with the Python SDK, IoT Core both ways."""
    created = cloud.create_component(pubsub_recipe("1.0.0", bucket))
    assert created["status"]["componentState"] == "REQUESTED"
    described = kit.wait_for(
        "the component to be DEPLOYABLE",
        lambda: (d := cloud.aws("greengrassv2", "describe-component", "--arn", created["arn"]))["status"][
            "componentState"] == "DEPLOYABLE" and d)
    assert described["publisher"] == "Tests"
    stored = cloud.boto3("greengrassv2").get_component(arn=created["arn"], recipeOutputFormat="JSON")
    artifacts = json.loads(stored["recipe"])["Manifests"][0]["Artifacts"]
    assert all(artifact["Algorithm"] == "SHA-256" and artifact["Digest"] for artifact in artifacts)

    deployment = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Pubsub": {"componentVersion": "1.0.0", **kit.python_run_with()}})
    cloud.await_deployment("core1", deployment, "COMPLETED")
    core.await_log("com.example.Pubsub", "stdout. ready")
    log = core.log("com.example.Pubsub")
    assert "unpacked data" in log
    assert "local one on local/hello" in log
    assert "counter {'starts': 7}" in log
    assert "publish refused: UnauthorizedError" in log and "iotcore refused: UnauthorizedError" in log

    installed = cloud.installed("core1")
    assert installed["com.example.Pubsub"]["lifecycleState"] == "RUNNING"
    assert installed["com.example.Pubsub"]["componentVersion"] == "1.0.0"
    got = cloud.aws("greengrassv2", "get-deployment", "--deployment-id", deployment)
    assert got["deploymentStatus"] == "COMPLETED" and got["revisionId"] == "1" and got["isLatestForTarget"]

    # IoT Core: the CLI publishes, the component answers, a client of mosquitto sees the answer.
    listener = MosquittoListener(cloud, "from/core1")
    cloud.aws("iot-data", "publish", "--topic", "to/core1/ask", "--qos", "1", "--payload", "ping")
    core.await_log("com.example.Pubsub", "cloud ping on to/core1/ask")
    listener.expect("echo ping")

    # The local CLI sees the same.
    assert re.search(r"Component Name: com\.example\.Pubsub\s+Version: 1\.0\.0\s+State: RUNNING",
                     core.cli("component", "list"))

    # A revision: new version, merge and reset of configuration.
    cloud.create_component(pubsub_recipe("1.1.0", bucket))
    second = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Pubsub": {
        "componentVersion": "1.1.0", **kit.python_run_with(),
        "configurationUpdate": {"merge": json.dumps({"Greeting": "good day", "New": {"key": True}}),
                                "reset": ["/Counter"]}}})
    cloud.await_deployment("core1", second, "COMPLETED")
    kit.wait_for("version 1.1.0 to run", lambda: cloud.installed("core1")["com.example.Pubsub"][
        "componentVersion"] == "1.1.0")
    expected = {"Greeting": "good day", "List": [1, 2], "New": {"key": True}}

    def merged() -> bool:
        lines = [line for line in core.log("com.example.Pubsub").splitlines() if "stdout. configuration " in line]
        value = json.loads(lines[-1].split("stdout. configuration ", 1)[1].split(". {", 1)[0])
        value.pop("accessControl")
        assert len(lines) == 2 and value == expected, lines
        return True
    kit.wait_for("the merged configuration", merged)
    assert cloud.aws("greengrassv2", "get-deployment", "--deployment-id", deployment)["isLatestForTarget"] is False
    listed = cloud.aws("greengrassv2", "list-deployments", "--target-arn", cloud.thing_arn("core1"),
                       "--history-filter", "ALL")["deployments"]
    assert [row["deploymentId"] for row in listed] == [second, deployment]

    # Without the component it is removed.
    third = cloud.deploy(cloud.thing_arn("core1"), {})
    cloud.await_deployment("core1", third, "COMPLETED")
    kit.wait_for("the component to be gone", lambda: "com.example.Pubsub" not in cloud.installed("core1"))
    assert "com.example.Pubsub" not in core.cli("component", "list")
    assert not [row for row in core.processes() if "pubsub.py" in row[1]]


class MosquittoListener:
    """mosquitto_sub over mutual TLS with a certificate made by `aws iot create-keys-and-certificate`."""

    def __init__(self, cloud, topic):
        folder = cloud.folder
        made = cloud.aws("iot", "create-keys-and-certificate", "--set-as-active",
                         "--certificate-pem-outfile", folder / "listener.crt",
                         "--private-key-outfile", folder / "listener.key")
        region, account = cloud.endpoints()["region"], cloud.endpoints()["account"]
        base = f"arn:aws:iot:{region}:{account}"
        cloud.aws("iot", "create-policy", "--policy-name", "listener", "--policy-document", json.dumps({
            "Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{base}:client/listener"},
                {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{base}:topicfilter/{topic}"},
                {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{base}:topic/{topic}"}]}))
        cloud.aws("iot", "attach-policy", "--policy-name", "listener", "--target", made["certificateArn"])
        self.program = kit.Program("listener", [
            "stdbuf", "-oL", "mosquitto_sub", "-h", "localhost", "-p", str(cloud.mqtt_port), "-i", "listener", "-q", "1",
            "--cafile", str(cloud.ca), "--cert", str(folder / "listener.crt"), "--key",
            str(folder / "listener.key"), "-t", topic, "-d"], folder)
        self.program.expect("Subscribed")

    def expect(self, text):
        self.program.expect(text)


def test_nothing_is_shown_that_the_device_did_not_send(cloud):
    """With the device stopped before the deployment, everything stays QUEUED."""
    core = kit.Core(cloud, "core1").start()
    core.await_healthy()
    core.stop()
    cloud.create_component(kit.recipe("com.example.Sleeper", "1.0.0", "sleep 1000"))
    deployment = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Sleeper": {"componentVersion": "1.0.0"}})
    kit.wait_for("the deployment to be listed", lambda: cloud.effective("core1"))
    for _ in range(3):
        row = next(row for row in cloud.effective("core1") if row["deploymentId"] == deployment)
        assert row["coreDeviceExecutionStatus"] == "QUEUED"
        assert cloud.aws("greengrassv2", "get-deployment", "--deployment-id", deployment)[
            "deploymentStatus"] == "ACTIVE"
        assert "com.example.Sleeper" not in cloud.installed("core1", "--topology-filter", "ALL")
    core.start()
    cloud.await_deployment("core1", deployment, "COMPLETED")
    assert cloud.installed("core1")["com.example.Sleeper"]["lifecycleState"] == "RUNNING"


def test_boto3_with_the_credentials_of_the_token_exchange(cloud, core, tmp_path):
    """A component reads an object of our S3 with boto3 and no endpoint in its code."""
    cloud.aws("s3", "mb", "s3://readings")
    (tmp_path / "value.txt").write_text("forty-two")
    cloud.aws("s3", "cp", tmp_path / "value.txt", "s3://readings/value.txt")
    program = ("import boto3; print('read', boto3.client('s3').get_object(Bucket='readings', "
               "Key='value.txt')['Body'].read().decode(), flush=True)")
    cloud.create_component(kit.recipe(
        "com.example.Reader", "1.0.0", f'{kit.PYTHON} -c "{program}"',
        dependencies={"aws.greengrass.TokenExchangeService": {"VersionRequirement": "^2.0.0",
                                                              "DependencyType": "HARD"}}))
    deployment = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Reader": {"componentVersion": "1.0.0", **kit.python_run_with()}})
    cloud.await_deployment("core1", deployment, "COMPLETED")
    core.await_log("com.example.Reader", "read forty-two")


def test_a_failing_install_says_why_and_rolls_back(cloud, core):
    """The deployment FAILED with AWS's error stack; the component that ran before runs again."""
    cloud.create_component(kit.recipe("com.example.Fragile", "1.0.0", "echo good; sleep 1000"))
    first = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Fragile": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core1", first, "COMPLETED")
    cloud.create_component(kit.recipe(
        "com.example.Fragile", "2.0.0", "",
        lifecycle={"install": "echo 'no such sensor' >&2; exit 17", "run": "sleep 1000"}))
    second = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Fragile": {"componentVersion": "2.0.0"}})
    row = cloud.await_deployment("core1", second, "FAILED")
    assert row["statusDetails"]["errorStack"] == ["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR",
                                                  "COMPONENT_BROKEN"]
    assert row["statusDetails"]["errorTypes"] == ["USER_COMPONENT_ERROR"]
    assert "17" in row["reason"] and "no such sensor" in row["reason"]
    kit.wait_for("the old version to run again", lambda: (
        c := cloud.installed("core1")["com.example.Fragile"])["componentVersion"] == "1.0.0"
        and c["lifecycleState"] == "RUNNING")


def test_bad_input_is_refused_with_the_codes_of_aws(cloud, tmp_path):
    good = kit.recipe("com.example.Twice", "1.0.0", "true")
    cloud.create_component(good)
    path = tmp_path / "recipe.json"

    def refused(code, document):
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return cloud.aws_refused(code, "greengrassv2", "create-component-version", "--inline-recipe",
                                 f"fileb://{path}")
    assert "com.example.Twice" in refused("ConflictException", good)
    assert "ComponentVersion" in refused("ValidationException", {**good, "ComponentVersion": "one"})
    assert "ComponentName" in refused("ValidationException",
                                      {k: v for k, v in good.items() if k != "ComponentName"})
    refused("ValidationException", "{ not: [a recipe")
    missing = kit.recipe("com.example.Missing", "1.0.0", "true",
                         artifacts=[{"URI": "s3://no-such-bucket/thing.zip"}])
    assert "s3://no-such-bucket/thing.zip" in refused("ValidationException", missing)
    cloud.aws_refused("ResourceNotFoundException", "greengrassv2", "describe-component", "--arn",
                      "arn:aws:greengrass:us-east-1:123456789012:components:no.such:versions:1.0.0")
    cloud.aws_refused("ResourceNotFoundException", "greengrassv2", "get-core-device",
                      "--core-device-thing-name", "nobody")
    cloud.aws_refused("ResourceNotFoundException", "greengrassv2", "create-deployment", "--target-arn",
                      cloud.thing_arn("nobody"))
