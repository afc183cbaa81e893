"""A cloud for conversations, and devices provisioned by the calls that AWS's installer makes."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import ssl
import subprocess
from typing import Any

import mqtt_packets as mqtt
import sward_testkit as kit



class WireCloud(kit.Cloud):
    """A cloud that needs no `sward env`; `SWARD_CLOUD` may name another command for it."""

    def start(self) -> "WireCloud":
        self.starts += 1
        command = shlex.split(os.environ.get("SWARD_CLOUD", "")) or [str(kit.BIN), "cloud"]
        self.program = kit.Program(
            f"cloud-{self.starts}", [*command, "--data-dir", str(self.data), *self.ports], self.folder)
        self.program.expect("sward cloud ready")
        where = self.endpoints()
        self.ports = [part for name in ("api", "device", "mqtt")
                      for part in (f"--{name}-port", where[name].rsplit(":", 1)[1].strip("/"))]
        return self

    def client(self, service: str, **options: Any) -> Any:
        """A client of the operator's; the plain ones are made once."""
        if not options:
            place = self.endpoints()["api"]
            self.made: dict[tuple[str, str], Any] = getattr(self, "made", {})
            if (place, service) not in self.made:
                self.made[place, service] = self.new_client(service)
            return self.made[place, service]
        return self.new_client(service, **options)

    def new_client(self, service: str, **options: Any) -> Any:
        import boto3
        from botocore.config import Config

        lines = (self.data / "credentials").read_text().splitlines()
        keys = dict(line.split(" = ", 1) for line in lines if " = " in line)
        where = self.endpoints()
        session = boto3.Session(region_name=where["region"], **keys)
        options.setdefault("config", Config(retries={"total_max_attempts": 1}))
        return session.client(service, endpoint_url=where["api"], **options)

    def arn(self, resource: str, service: str = "iot") -> str:
        where = self.endpoints()
        return f"arn:aws:{service}:{where['region']}:{where['account']}:{resource}"


class Device:
    """A core device's identity: thing, groups, certificate, policies, and what it may reach."""

    def __init__(self, cloud: WireCloud, thing: str, *groups: str, policy: dict[str, Any] | None = None):
        self.cloud, self.thing = cloud, thing
        self.folder = cloud.folder / thing
        self.folder.mkdir()
        iot = cloud.client("iot")
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        request = subprocess.run(
            ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", self.key, "-subj", "/CN=AWS IoT Certificate"],
            check=True, capture_output=True, text=True).stdout
        made = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)
        self.certificate_arn = made["certificateArn"]
        self.certificate.write_text(made["certificatePem"])
        iot.create_policy(policyName=f"{thing}-policy", policyDocument=json.dumps(policy or self.policy()))
        iot.attach_policy(policyName=f"{thing}-policy", target=self.certificate_arn)
        iot.create_thing(thingName=thing)
        iot.attach_thing_principal(thingName=thing, principal=self.certificate_arn)
        for group in groups:
            iot.create_thing_group(thingGroupName=group)
            iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
        self.allow_credentials()

    def policy(self) -> dict[str, Any]:
        """The installer's thing policy."""
        return {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": ["iot:Connect", "iot:Publish", "iot:RetainPublish", "iot:Subscribe", "iot:Receive",
                       "greengrass:*"],
            "Resource": ["*"],
        }]}

    def allow_credentials(self) -> None:
        """Role, role alias and the policy that lets the certificate use it."""
        iam, iot = self.cloud.client("iam"), self.cloud.client("iot")
        name = f"{self.thing}-role"
        self.alias = f"{self.thing}-alias"
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "credentials.iot.amazonaws.com"}}]}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        objects = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetBucketLocation"], "Resource": "*"}]}
        iam.put_role_policy(RoleName=name, PolicyName="objects", PolicyDocument=json.dumps(objects))
        alias = iot.create_role_alias(roleAlias=self.alias, roleArn=role["Arn"])
        self.token_policy = f"{self.thing}-token"
        iot.create_policy(policyName=self.token_policy, policyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": {
                "Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate",
                "Resource": alias["roleAliasArn"]}}))
        iot.attach_policy(policyName=self.token_policy, target=self.certificate_arn)

    def tls(self, *alpn: str, verify_name: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.cloud.ca))
        context.check_hostname = verify_name
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(list(alpn))
        return context

    def mqtt(self, version: int = 5) -> mqtt.Connection:
        return mqtt.Connection("localhost", self.cloud.mqtt_port, self.tls("x-amzn-mqtt-ca"), version)

    def https(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None,
              sni: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One call to the device endpoint as the nucleus makes it: mutual TLS, its ALPN, and no
        server name for a host without a dot."""
        host, port = self.cloud.endpoints()["device"].rsplit(":", 1)
        context = self.tls("x-amzn-http-ca", "http/1.1", verify_name=sni)
        connection = http.client.HTTPSConnection(host, int(port), timeout=15, context=context)
        if not sni:
            raw = socket.create_connection((host, int(port)), timeout=15)
            connection.sock = context.wrap_socket(raw, server_hostname=None)
        connection.request(method, target, body or None, headers or {})
        self.alpn = connection.sock.selected_alpn_protocol()
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def plain(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, dict, bytes]:
    """A call without any certificate, as for a pre-signed URL."""
    scheme, rest = url.split("://", 1)
    host, _, path = rest.partition("/")
    assert scheme == "http", f"{url}: the tests' API endpoint is plain HTTP"
    connection = http.client.HTTPConnection(host, timeout=15)
    connection.request(method, "/" + path, headers=headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def put_object(cloud: WireCloud, bucket: str, key: str, data: bytes) -> None:
    s3 = cloud.client("s3")
    try:
        s3.create_bucket(Bucket=bucket)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    s3.put_object(Bucket=bucket, Key=key, Body=data)


