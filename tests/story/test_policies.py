"""Each enforced action passes with its policy statement and fails without it, on real clients."""

import json
import subprocess

import pytest
import sward_testkit as kit

CONNECT = ("iot:Connect", "client/dev")
SUBSCRIBE = ("iot:Subscribe", "topicfilter/t/+")
RECEIVE = ("iot:Receive", "topic/t/*")
PUBLISH = ("iot:Publish", "topic/t/*")
RETAIN = ("iot:RetainPublish", "topic/t/*")


class Device:
    """A certificate with one policy, and mosquitto's clients as that device."""

    def __init__(self, cloud, statements):
        self.cloud = cloud
        folder = cloud.folder
        where = cloud.endpoints()
        base = f"arn:aws:iot:{where['region']}:{where['account']}"
        made = cloud.aws("iot", "create-keys-and-certificate", "--set-as-active", "--certificate-pem-outfile",
                         folder / "dev.crt", "--private-key-outfile", folder / "dev.key")
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": f"{base}:{resource}"}
            for action, resource in statements]}
        if statements:
            cloud.aws("iot", "create-policy", "--policy-name", "dev", "--policy-document", json.dumps(document))
            cloud.aws("iot", "attach-policy", "--policy-name", "dev", "--target", made["certificateArn"])
        self.base = ["-h", "localhost", "-p", str(cloud.mqtt_port), "--cafile", str(cloud.ca), "--cert",
                     str(folder / "dev.crt"), "--key", str(folder / "dev.key"), "-i", "dev"]

    def run(self, program, *args):
        return subprocess.run([program, *self.base, *args], capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_connect(cloud, version):
    device = Device(cloud, [PUBLISH])
    refused = device.run("mosquitto_pub", "-V", version, "-t", "t/1", "-m", "x", "-q", "1")
    assert refused.returncode != 0 and "authori" in (refused.stdout + refused.stderr).lower()


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_publish(cloud, version):
    allowed = Device(cloud, [CONNECT, PUBLISH])
    assert allowed.run("mosquitto_pub", "-V", version, "-t", "t/1", "-m", "x", "-q", "1").returncode == 0
    refused = allowed.run("mosquitto_pub", "-V", version, "-t", "u/1", "-m", "x", "-q", "1", "-d")
    assert "PUBACK" not in refused.stdout or "RC:135" in refused.stdout, refused.stdout


@pytest.mark.parametrize("statements, arrives", [
    ([CONNECT, SUBSCRIBE, RECEIVE], True),
    ([CONNECT, SUBSCRIBE], False),
], ids=["with-receive", "without-receive"])
def test_subscribe_and_receive(cloud, statements, arrives):
    device = Device(cloud, statements)
    listener = kit.Program("listener", ["stdbuf", "-oL", "mosquitto_sub", *device.base, "-q", "1", "-t", "t/+", "-d"], cloud.folder)
    listener.expect("Subscribed")
    cloud.aws("iot-data", "publish", "--topic", "t/1", "--qos", "1", "--payload", "hello-there")
    if arrives:
        listener.expect("hello-there")
    else:
        # The connection stands and a ping is answered, so that the silence is the policy's.
        listener.stop()
        assert "hello-there" not in listener.text()


def test_subscribe_needs_its_statement(cloud):
    device = Device(cloud, [CONNECT, RECEIVE])
    refused = device.run("mosquitto_sub", "-q", "1", "-t", "t/+", "-W", "2", "-d")
    assert "(QoS: 128)" in refused.stdout or "128" in refused.stdout + refused.stderr, refused.stdout


@pytest.mark.parametrize("statements, kept", [
    ([CONNECT, PUBLISH, RETAIN, SUBSCRIBE, RECEIVE], True),
    ([CONNECT, PUBLISH, SUBSCRIBE, RECEIVE], False),
], ids=["with-retain", "without-retain"])
def test_a_retained_publish_needs_both_statements(cloud, statements, kept):
    device = Device(cloud, statements)
    device.run("mosquitto_pub", "-t", "t/1", "-m", "kept", "-r", "-q", "1")
    seen = device.run("mosquitto_sub", "-t", "t/+", "-C", "1", "-W", "2")
    assert ("kept" in seen.stdout) is kept


def test_the_token_exchange_needs_its_statement(cloud):
    """Without iot:AssumeRoleWithCertificate the credentials provider refuses the core."""
    core = kit.Core(cloud, "core1")
    where = cloud.endpoints()
    role_alias = "GreengrassV2TokenExchangeRoleAlias"

    def credentials():
        certs = core.root / "certs"
        return subprocess.run(
            ["curl", "-sS", "-w", "%{http_code}", "--cacert", certs / "rootCA.pem", "--cert",
             certs / "device.pem.crt", "--key", certs / "private.pem.key", "-H", "x-amzn-iot-thingname: core1",
             f"https://{where['device']}/role-aliases/{role_alias}/credentials"],
            capture_output=True, text=True, timeout=20, check=True).stdout
    assert credentials().endswith("200")
    certificate = cloud.aws("iot", "list-thing-principals", "--thing-name", "core1")["principals"][0]
    cloud.aws("iot", "detach-policy", "--policy-name", f"GreengrassTESCertificatePolicy{role_alias}",
              "--target", certificate)
    assert credentials().endswith("403")
