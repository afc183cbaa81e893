"""Replays a captured conversation: the nucleus's side as it was, the cloud's side against ours.

A capture is walked from its first event to its last. What the nucleus sent is sent, with our names.
What its cloud sent must come from ours and be the same but for names, times and revisions; where an
operator's act was behind it (a deployment, a cancellation, a broker that stops), the act is done
through the AWS API first. After every report of the nucleus the API must show what it said.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import device as devices
import golden
import mqtt_packets as mqtt
import sward_testkit as kit
from golden import NAMESPACE, SHADOW
from s3_requests import signed

TERMINAL = {"SUCCEEDED", "FAILED", "REJECTED"}
SHOWN = {"SUCCEEDED": ("SUCCEEDED", "COMPLETED")}
KNOWN_CAPABILITIES = {"LARGE_CONFIGURATION", "LINUX_RESOURCE_LIMITS", "SUB_DEPLOYMENTS"}


class Fleet:
    """What the API must show of a device after the messages so far."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}
        self.status = self.version = ""
        self.chunks: list[dict[str, Any]] = []

    def take(self, message: dict[str, Any]) -> bool:
        """False while chunks of the message are missing."""
        rows = message["components"]
        info = message.get("chunkInfo")
        if info:
            self.chunks = [] if info["chunkId"] == 1 else self.chunks
            self.chunks += rows
            if info["chunkId"] < info["totalChunks"]:
                return False
            rows = self.chunks
        if message["messageType"] == "COMPLETE":
            self.components = {}
        for row in rows:
            if row["status"] == "UNINSTALLED":
                self.components.pop(row["componentName"], None)
            else:
                self.components[row["componentName"]] = row
        self.status, self.version = message["overallDeviceStatus"], message["ggcVersion"]
        return True


class Replay:
    """One capture against one cloud."""

    def __init__(self, cloud: devices.WireCloud, name: str, *, thing: str | None = None):
        self.cloud, self.events = cloud, golden.read(name)
        self.thing = thing or name.removeprefix("java-")
        self.group, self.second_group = f"{self.thing}-g1", f"{self.thing}-g2"
        self.device = devices.Device(cloud, self.thing, self.group, self.second_group)
        where = cloud.endpoints()
        self.names = golden.Names(where["account"], where["region"], self.thing, self.group)
        self.names.learn("WireRoleAlias", self.device.alias)
        self.api, self.iot, self.data = cloud.client("greengrassv2"), cloud.client("iot"), cloud.client("iot-data")
        self.connections: dict[str, mqtt.Connection] = {}
        self.connack: mqtt.Connack | None = None
        self.codes: list[int] = []
        self.reason: int | None = None
        self.http: tuple[int, dict[str, str], bytes] = (0, {}, b"")
        self.presigned = ""
        self.credentials: dict[str, str] = {}
        self.offset: int | None = None
        self.jobs: dict[str, str] = {}
        self.deployments: dict[str, str] = {}
        self.latest: dict[str, str] = {}
        self.last_job_status = ""
        self.fleet = Fleet()
        self.before: dict[int, Callable[[], None]] = {}
        self.passed_over: set[int] = set()
        self.tolerated: list[str] = []
        self.answered_unsubscribed = False
        self.after_launch: Callable[[], None] | None = None
        self.register_components()

    # What an operator prepares.

    def register_components(self) -> None:
        for (name, version), recipe in golden.recipes(self.events).items():
            if name.startswith("aws."):
                continue
            for manifest in recipe["Manifests"]:
                for artifact in manifest.get("Artifacts", []):
                    artifact["Uri"] = artifact["Uri"].replace("greengrass:", "s3://wire-bucket/")
                    artifact.pop("Digest"), artifact.pop("Algorithm")
            for event in self.events:
                if event["kind"] == "http-response" and event["server"] in ("s3", "pre-signed-url"):
                    key = event["target"].split("?")[0].removeprefix("/wire-bucket/").removeprefix("/presigned/")
                    if key != "/wire-bucket":
                        devices.put_object(self.cloud, "wire-bucket", key, golden.payload(event))
            try:
                self.api.create_component_version(inlineRecipe=json.dumps(recipe))
            except self.api.exceptions.ConflictException:
                pass  # by another conversation

    def deploy(self, document: dict[str, Any], target: str) -> str:
        """Makes the deployment that a captured document came from, and learns its names."""
        components = {}
        for name, row in document["components"].items():
            components[name] = {"componentVersion": row["version"]}
            if update := row.get("configurationUpdate"):
                components[name]["configurationUpdate"] = {
                    key: json.dumps(value) if key == "merge" else value for key, value in update.items()}
        made = self.api.create_deployment(
            targetArn=self.cloud.arn(target), deploymentName=document["deploymentName"], components=components,
            deploymentPolicies={
                "failureHandlingPolicy": document["failureHandlingPolicy"],
                "componentUpdatePolicy": {
                    "timeoutInSeconds": document["componentUpdatePolicy"]["timeout"],
                    "action": document["componentUpdatePolicy"]["action"]},
                "configurationValidationPolicy": {
                    "timeoutInSeconds": document["configurationValidationPolicy"]["timeout"]},
            })
        identifier = made["deploymentId"]
        revision = self.api.get_deployment(deploymentId=identifier)["revisionId"]
        self.names.learn(document["deploymentId"], identifier)
        self.names.learn(document["configurationArn"],
                         self.cloud.arn(f"configuration:{target}:{revision}", "greengrass"))
        self.deployments[document["configurationArn"]] = identifier
        self.latest[target] = identifier
        if job := made.get("iotJobId"):
            self.jobs[identifier] = job
        return identifier

    def invent(self, document: dict[str, Any], target: str) -> dict[str, Any]:
        """A document that the API does not make (a capability of the future, a late message)."""
        self.names.learn(document["deploymentId"], str(uuid.uuid4()))
        arn = self.cloud.arn(f"configuration:{target}:{1000 + len(self.names.whole)}", "greengrass")
        self.names.learn(document["configurationArn"], arn)
        return self.names.value(document) | {"creationTimestamp": int(time.time() * 1000) - 3_000}

    def set_desired(self, document: dict[str, Any], status: str) -> None:
        desired = {"fleetConfig": json.dumps(document, separators=(",", ":")), "desiredStatus": status}
        self.write_shadow({"desired": desired})

    def write_shadow(self, state: dict[str, Any]) -> None:
        self.data.update_thing_shadow(
            thingName=self.thing, shadowName=SHADOW, payload=json.dumps({"state": state}))

    def other_writer(self) -> None:
        """Raises the shadow's version; the nucleus of the capture did not hear of it."""
        self.write_shadow({"desired": {}})
        self.main.take(self.shadow_topic("update/accepted"))

    def shadow_topic(self, suffix: str) -> str:
        return f"$aws/things/{self.thing}/shadow/name/{SHADOW}/{suffix}"

    def jobs_topic(self, rest: str) -> str:
        return f"$aws/things/{self.thing}/jobs/{rest}"

    @property
    def main(self) -> mqtt.Connection:
        return self.connections[self.thing]

    # The walk.

    def run(self) -> "Replay":
        first = next(event["kind"] for event in self.events if event["dir"] == "nucleus")
        if first != "connect":
            self.launch()
        if self.after_launch:
            self.after_launch()
        for event in self.events:
            self.step(event)
        self.check_nothing_else_came()
        return self

    def launch(self) -> None:
        """The nucleus is up and connected before a capture that starts later."""
        for event in golden.read("java-start"):
            if event["dir"] == "nucleus":
                self.step(event)
        self.main.take(self.jobs_topic(f"$next/{NAMESPACE}/get/accepted"))
        self.tolerated.append(self.shadow_topic("get/rejected"))

    def event(self, number: int) -> dict[str, Any]:
        return next(event for event in self.events if event["n"] == number)

    def settle(self, number: int) -> None:
        """The thing deployment that the shadow of a captured answer tells of has been and gone."""
        state = self.event(number)["payload"]["state"]
        document, reported = json.loads(state["desired"]["fleetConfig"]), state["reported"]
        arn = reported["fleetConfigurationArnForStatus"]
        if arn != document["configurationArn"]:
            # The desired one comes later; of the one before it only the report is known.
            document |= {"configurationArn": arn, "deploymentId": f"before {document['deploymentId']}"}
        self.deploy(document, f"thing/{self.thing}")
        version = json.loads(self.main.take(self.shadow_topic("update/accepted")).payload)["version"]
        self.report(reported, version)
        deployment = self.deployments[arn]
        self.check_effective(f"thing/{self.thing}", deployment, reported["status"], [], "")

    def report(self, reported: dict[str, Any], version: int) -> None:
        """Writes a report and takes its answer."""
        update = {"thingName": self.thing, "shadowName": SHADOW,
                  "state": {"reported": self.names.value(reported)}, "version": version}
        self.main.publish(self.shadow_topic("update"), json.dumps(update).encode())
        answer = json.loads(self.main.take(self.shadow_topic("update/accepted")).payload)
        assert answer["version"] == version + 1, answer

    def step(self, event: dict[str, Any]) -> None:
        if hook := self.before.get(event["n"]):
            hook()
        between = event["dir"] == "component" or event["kind"].startswith("ipc-")  # nucleus and component
        if event["n"] in self.passed_over or between:
            return
        handler = getattr(self, f"{event['dir']}_{event['kind'].replace('-', '_')}", None)
        assert handler, f"event {event['n']}: nobody replays {event['dir']} {event['kind']}"
        try:
            handler(event)
        except AssertionError as error:
            raise AssertionError(f"event {event['n']} ({event['step']}, {event['kind']}): {error}") from error

    def check_nothing_else_came(self) -> None:
        for connection in self.connections.values():
            if connection.closed is None:
                connection.ping()
            for message in connection.messages:
                if message.topic in self.tolerated:
                    self.tolerated.remove(message.topic)
                elif message.topic.endswith(f"notify-{NAMESPACE}"):
                    # Allowed and not required: the list while a job is in progress.
                    assert list(json.loads(message.payload)["jobs"]) == ["IN_PROGRESS"], message
                else:
                    raise AssertionError(f"nothing of the capture: {message}")

    # The nucleus's side.

    def client(self, event: dict[str, Any]) -> mqtt.Connection:
        return self.connections[self.names.text(event.get("clientId", "core1"))]

    def nucleus_connect(self, event: dict[str, Any]) -> None:
        client_id = self.names.text(event["clientId"])
        connection = self.device.mqtt(event["protocolVersion"])
        assert connection.alpn == event["tls"]["alpnSelected"], connection.alpn
        self.connack = connection.connect(
            client_id, clean=event["cleanStart"], keep_alive=event["keepAlive"], username=event["username"],
            properties=event["properties"])
        self.connections[client_id] = connection

    def nucleus_subscribe(self, event: dict[str, Any]) -> None:
        (row,) = event["filters"]
        self.codes = self.client(event).subscribe(
            self.names.text(row["filter"]), row["qos"], no_local=row.get("noLocal", False),
            retain_as_published=row.get("retainAsPublished", False),
            retain_handling=row.get("retainHandling", 0))
        assert self.codes == [row["qos"]], f"{row['filter']}: {self.codes}"

    def nucleus_unsubscribe(self, event: dict[str, Any]) -> None:
        (topic_filter,) = event["filters"]
        self.codes = self.client(event).unsubscribe(self.names.text(topic_filter))

    def nucleus_publish(self, event: dict[str, Any]) -> None:
        topic = self.names.text(event["topic"])
        body, connection = golden.payload(event), self.client(event)
        value = None
        if isinstance(event.get("payload"), dict):
            value = self.names.value(event["payload"])
            if topic == self.shadow_topic("update"):
                assert self.offset is not None
                value["version"] += self.offset
            body = json.dumps(value, separators=(",", ":")).encode()
        properties = dict(event.get("properties", {}))
        if "correlationData" in properties:
            properties["correlationData"] = base64.b64decode(properties["correlationData"])
        self.reason = connection.publish(topic, body, event["qos"], retain=event["retain"], properties=properties)
        if event["qos"]:
            assert self.reason in (0, 0x10), f"PUBACK of {topic}: {self.reason:#x}"
        if value is not None:
            self.check_report(event, topic, value)

    def nucleus_disconnect(self, event: dict[str, Any]) -> None:
        self.client(event).disconnect(event["reasonCode"])

    def nucleus_tcp_close(self, event: dict[str, Any]) -> None:
        connection = self.client(event)
        connection.close()
        connection.await_close()

    def nucleus_pingreq(self, event: dict[str, Any]) -> None:
        self.client(event).ping()

    def nucleus_note(self, event: dict[str, Any]) -> None:
        raise AssertionError("a test replays this one")

    def nucleus_http_request(self, event: dict[str, Any]) -> None:
        headers = {name: self.names.text(value) for name, value in event["headers"]
                   if name not in ("Host", "Connection", "Content-Length")}
        body = json.dumps(self.names.value(event["payload"])).encode() if "payload" in event else b""
        target = self.names.text(event["target"])
        match event["server"]:
            case "data-plane":
                self.http = self.device.https(event["method"], target, body, headers)
                assert self.device.alpn == event["tls"]["alpnSelected"], self.device.alpn
            case "credentials-provider":
                refused = self.answer_of(event)["status"] == 403
                attach = {"policyName": self.device.token_policy, "target": self.device.certificate_arn}
                if refused:
                    self.iot.detach_policy(**attach)
                self.http = self.device.https(event["method"], target, body, headers)
                if refused:
                    self.iot.attach_policy(**attach)
            case "pre-signed-url":
                self.http = devices.plain(self.presigned, headers)
            case "s3":
                url = self.cloud.endpoints()["api"].rstrip("/") + target
                names = self.cloud.endpoints()
                self.http = devices.plain(
                    url, signed(url, event["method"], event["headers"], self.credentials, names["region"]),
                    event["method"])
            case server:
                raise AssertionError(f"no server {server}")

    def answer_of(self, event: dict[str, Any]) -> dict[str, Any]:
        return next(other for other in self.events if other["n"] > event["n"]
                    and other["kind"] == "http-response" and other["target"] == event["target"])

    # What the API shows after a report.

    def check_report(self, event: dict[str, Any], topic: str, value: dict[str, Any]) -> None:
        if topic.endswith("greengrassv2/health/json"):
            if self.fleet.take(value):
                self.check_fleet()
        elif topic.endswith(f"{NAMESPACE}/update"):
            self.last_job_status = value["status"]
            if not self.is_rejected(event):
                self.check_job(value)
        elif topic == self.shadow_topic("update") and not self.is_rejected(event):
            reported = value["state"]["reported"]
            details = reported["statusDetails"]
            captured = event["payload"]["state"]["reported"]["fleetConfigurationArnForStatus"]
            self.check_effective(
                f"thing/{self.thing}", self.deployments.get(captured), reported["status"], details["errorStack"],
                details["failureCause"])

    def is_rejected(self, event: dict[str, Any]) -> bool:
        answers = (other for other in self.events if other["n"] > event["n"] and other["dir"] == "cloud"
                   and other.get("topic", "").startswith(event["topic"] + "/"))
        return next(answers)["topic"].endswith("/rejected")

    def check_fleet(self) -> None:
        def shown() -> bool:
            row = self.api.get_core_device(coreDeviceThingName=self.thing)
            assert row["status"] == self.fleet.status, row
            assert row["coreVersion"] == self.fleet.version, row
            assert (row["platform"], row["architecture"]) == ("linux", "amd64"), row
            assert_same_components(self.fleet.components, self.installed())
            return True
        kit.wait_for("the fleet status to be shown", shown, 10)

    def installed(self) -> dict[str, dict[str, Any]]:
        pages = self.api.get_paginator("list_installed_components").paginate(
            coreDeviceThingName=self.thing, topologyFilter="ALL")
        return {row["componentName"]: row for page in pages for row in page["installedComponents"]}

    def check_job(self, update: dict[str, Any]) -> None:
        row = self.iot.describe_job_execution(jobId=update["jobId"], thingName=self.thing)["execution"]
        assert row["status"] == update["status"], row
        shown = row.get("statusDetails", {}).get("detailsMap", {})
        for key, text in update["statusDetails"].items():
            assert shown.get(key) == text, f"{key}: {shown}"
        deployment = next((one for one, job in self.jobs.items() if job == update["jobId"]), None)
        stack = json.loads(update["statusDetails"].get("deployment-error-stack", "[]"))
        target = next((target for target, one in self.latest.items() if one == deployment), "")
        cause = update["statusDetails"].get("deployment-failure-cause", "")
        self.check_effective(target, deployment, update["status"], stack, cause)

    def effective(self) -> dict[str, dict[str, Any]]:
        rows = self.api.list_effective_deployments(coreDeviceThingName=self.thing)["effectiveDeployments"]
        return {row["deploymentId"]: row for row in rows}

    def check_effective(self, target: str, deployment: str | None, status: str, stack: list[str], cause: str) -> None:
        if deployment is None or self.latest.get(target) != deployment:
            return  # none of the API's, or another one took its place

        def shown() -> bool:
            row = self.effective()[deployment]
            assert row["coreDeviceExecutionStatus"] in SHOWN.get(status, (status,)), row
            assert row.get("statusDetails", {}).get("errorStack", []) == stack, row
            assert cause in row.get("reason", ""), row
            assert row["targetArn"] == self.cloud.arn(target), row
            return True
        kit.wait_for(f"{status} of {deployment}", shown, 10)

    # The cloud's side.

    def cloud_connack(self, event: dict[str, Any]) -> None:
        assert self.connack is not None
        check_connack(self.connack)
        assert self.connack.session_present == event["sessionPresent"], self.connack

    def cloud_suback(self, event: dict[str, Any]) -> None:
        assert self.codes == event["reasonCodes"], self.codes

    def cloud_unsuback(self, event: dict[str, Any]) -> None:
        version = self.client(event).version
        assert self.codes == (event["reasonCodes"] if version == 5 else []), self.codes

    def cloud_puback(self, event: dict[str, Any]) -> None:
        assert self.reason in (0, 0x10), self.reason  # the publish waited for it

    def cloud_http_response(self, event: dict[str, Any]) -> None:
        check_http(self, event)

    def cloud_note(self, event: dict[str, Any]) -> None:
        assert "raised by another writer" in event["text"], event
        self.other_writer()

    def cloud_broker_stopped(self, event: dict[str, Any]) -> None:
        self.cloud.kill()
        for connection in self.connections.values():
            connection.await_close()

    def cloud_broker_started(self, event: dict[str, Any]) -> None:
        self.cloud.start()
        if not event["sessionsKept"]:
            other = self.device.mqtt()
            other.connect(self.thing, clean=True, properties={"sessionExpiryInterval": 0})
            other.disconnect()
            other.await_close()

    def cloud_disconnect(self, event: dict[str, Any]) -> None:
        """Another connection with the client's id comes, and goes without a word."""
        connection = self.client(event)
        other = self.device.mqtt()
        other.connect(connection.client_id, clean=False, properties={"sessionExpiryInterval": 604800})
        assert connection.await_close() == event["reasonCode"], connection.server_reason
        other.close()
        other.await_close()

    def cloud_publish(self, event: dict[str, Any]) -> None:
        self.cause(event)
        topic = self.names.text(event["topic"])
        unheard = "delivered" in event
        if unheard and topic == self.shadow_topic("update/accepted"):
            # The captured nucleus was away; this one is here.
            message = self.main.take(topic)
            self.offset = json.loads(message.payload)["version"] - event["payload"]["version"]
            return
        if unheard and not (self.answered_unsubscribed and topic.endswith("/accepted")):
            self.tolerated.append(topic)
            return
        connection = self.main if unheard else self.client(event)
        message = connection.take(topic)
        if topic.endswith(f"notify-{NAMESPACE}"):
            message = self.skip_progress(connection, topic, event, message)
        assert message.retain is False
        if not isinstance(event.get("payload"), dict):
            assert message.payload == golden.payload(event), message
            return
        expected, actual = self.names.value(event["payload"]), json.loads(message.payload)
        if topic.startswith(self.shadow_topic("")) and "version" in expected:
            if self.offset is None:
                self.offset = actual["version"] - expected["version"]
            expected["version"] += self.offset
        if "code" in expected:
            actual.pop("executionState", None)
        found = golden.differences(expected, actual)
        assert not found, "\n  ".join([f"{topic} differs", *found])
        check_properties(event, message)

    def skip_progress(self, connection: mqtt.Connection, topic: str, event: dict[str, Any],
                      message: mqtt.Message) -> mqtt.Message:
        """Passes over lists that only say IN_PROGRESS, where the capture has none."""
        wanted = sorted(event["payload"]["jobs"])
        while sorted(json.loads(message.payload)["jobs"]) == ["IN_PROGRESS"] != wanted:
            message = connection.take(topic)
        return message

    # Causes.

    def cause(self, event: dict[str, Any]) -> None:
        payload = event.get("payload")
        topic = event["topic"]
        if topic.endswith(f"{SHADOW}/update/accepted") and payload["state"].get("desired"):
            self.cause_desired(payload["state"]["desired"])
        elif topic.endswith(f"notify-{NAMESPACE}"):
            self.cause_notification(payload["jobs"])
        elif topic.startswith("wire/") and not self.was_published(event):
            self.cause_message(event)

    def cause_desired(self, desired: dict[str, Any]) -> None:
        document = json.loads(desired["fleetConfig"])
        arn, target = document["configurationArn"], f"thing/{self.thing}"
        if desired["desiredStatus"] == "CANCELED":
            self.api.cancel_deployment(deploymentId=self.deployments[arn])
        elif arn in self.names.whole:
            current = self.data.get_thing_shadow(thingName=self.thing, shadowName=SHADOW)["payload"].read()
            self.write_shadow({"desired": json.loads(current)["state"]["desired"]})
        elif set(document["requiredCapabilities"]) - KNOWN_CAPABILITIES:
            self.set_desired(self.invent(document, target), desired["desiredStatus"])
        else:
            self.deploy(document, target)

    def cause_notification(self, jobs: dict[str, Any]) -> None:
        for row in jobs.get("QUEUED", []):
            if row["jobId"] not in self.names.whole:
                self.cause_job(row)
        if not jobs and self.last_job_status not in TERMINAL:
            job = self.jobs[self.latest[f"thinggroup/{self.group}"]]
            self.iot.cancel_job(jobId=job, force=True)
        self.last_job_status = "" if not jobs else self.last_job_status

    def cause_job(self, row: dict[str, Any]) -> None:
        document = self.job_document(row["jobId"])
        late = document["creationTimestamp"] / 1000 < row["queuedAt"] - 60
        if late or set(document["requiredCapabilities"]) - KNOWN_CAPABILITIES:
            made = self.invent(document, f"thinggroup/{self.group}")
            job = str(uuid.uuid4())
            self.iot.create_job(
                jobId=job, targets=[self.cloud.arn(f"thing/{self.thing}")], document=json.dumps(made),
                namespaceId=NAMESPACE.removeprefix("namespace-"))
        else:
            # A group's next revision would cancel the one before it, so a second job is another group's.
            waiting = self.last_job_status == "IN_PROGRESS"
            group = self.second_group if waiting else self.group
            job = self.jobs[self.deploy(document, f"thinggroup/{group}")]
        self.names.learn(row["jobId"], job)

    def job_document(self, job: str) -> dict[str, Any]:
        for event in self.events:
            execution = (event.get("payload") or {}).get("execution") if isinstance(event.get("payload"), dict) else None
            if execution and execution["jobId"] == job:
                return execution["jobDocument"]
        raise AssertionError(f"the capture has no document of {job}")

    def was_published(self, event: dict[str, Any]) -> bool:
        """Whether the nucleus itself published what is delivered here."""
        return any(other["dir"] == "nucleus" and other["kind"] == "publish" and other["topic"] == event["topic"]
                   for other in self.events if other["n"] < event["n"])

    def cause_message(self, event: dict[str, Any]) -> None:
        """Somebody publishes through the API."""
        given = event.get("properties", {})
        options: dict[str, Any] = {}
        for name, option in (("contentType", "contentType"), ("responseTopic", "responseTopic"),
                             ("messageExpiryInterval", "messageExpiry")):
            if name in given:
                options[option] = given[name]
        if "userProperty" in given:
            options["userProperties"] = [{key: value} for key, value in given["userProperty"]]
        if "correlationData" in given:
            options["correlationData"] = given["correlationData"]
        if "payloadFormatIndicator" in given:
            options["payloadFormatIndicator"] = "UTF8_DATA" if given["payloadFormatIndicator"] else "UNSPECIFIED_BYTES"
        self.data.publish(topic=event["topic"], qos=1, payload=golden.payload(event), **options)


def check_connack(connack: mqtt.Connack) -> None:
    """Limits that let a nucleus do what the captures show."""
    assert connack.reason == 0, connack
    told = connack.properties
    assert told.get("maximumQoS", 1) == 1, told
    assert told.get("retainAvailable", 1) == 1, told
    assert told.get("maximumPacketSize", 1 << 28) >= 131_072 + 512, told
    assert told.get("receiveMaximum", 65535) >= 5, told
    assert told.get("sessionExpiryInterval", 604800) > 0, told
    assert told.get("serverKeepAlive", 60) >= 30, told
    assert told.get("wildcardSubscriptionAvailable", 1) == 1, told


def check_properties(event: dict[str, Any], message: mqtt.Message) -> None:
    expected = dict(event.get("properties", {}))
    if "correlationData" in expected:
        expected["correlationData"] = base64.b64decode(expected["correlationData"])
    actual = dict(message.properties)
    expiry = actual.get("messageExpiryInterval")
    if "messageExpiryInterval" in expected and expiry is not None:
        # The server takes off what the message waited.
        assert expected["messageExpiryInterval"] - 5 <= expiry <= expected["messageExpiryInterval"], actual
        actual["messageExpiryInterval"] = expected["messageExpiryInterval"]
    for name in expected:
        assert actual.get(name) == expected[name], f"{name}: {actual}"


def assert_same_components(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    wanted = {(name, one["version"] or "", one["status"], one["isRoot"],
               tuple((one["componentStatusDetails"] or {}).get("statusCodes", [])))
              for name, one in expected.items()}
    shown = {(name, one.get("componentVersion", ""), one["lifecycleState"], one["isRoot"],
              tuple(one.get("lifecycleStatusCodes", [])))
             for name, one in actual.items()}
    assert wanted == shown, f"missing {sorted(wanted - shown)[:5]}; too much {sorted(shown - wanted)[:5]}"


def check_http(replay: Replay, event: dict[str, Any]) -> None:
    status, headers, body = replay.http
    assert status == event["status"], f"{status}: {body[:500]!r}"
    wanted = dict(event["headers"])
    if "Content-Range" in wanted:
        assert headers["content-range"] == wanted["Content-Range"], headers
    if event["server"] == "s3" and "location" in event["target"]:
        assert b"LocationConstraint" in body, body
        return
    if event["server"] in ("s3", "pre-signed-url"):
        assert int(headers["content-length"]) == event["payloadBytes"], headers
        assert body in (golden.payload(event), b""), body
        assert body or replay_method(replay, event) == "HEAD"
        return
    assert headers["content-type"] == "application/json", headers
    actual = json.loads(body)
    if status >= 400:
        assert actual["message"], actual
        assert "no usable version" not in event["payload"]["message"] or "no usable version" in actual["message"]
        if error := wanted.get("x-amzn-ErrorType"):
            assert headers["x-amzn-errortype"].split(":")[0] == error, headers
        return
    expected = replay.names.value(event["payload"])
    if "thingGroups" in expected:
        named = {row["thingGroupName"]: row for row in actual["thingGroups"]}
        assert set(actual) == {"thingGroups"} and set(named) == {replay.group, replay.second_group}, actual
        actual = {"thingGroups": [named[row["thingGroupName"]] for row in expected["thingGroups"]]}
    if "resolvedComponentVersions" in expected:
        check_resolved(expected, actual)
        return
    if "preSignedUrl" in expected:
        replay.presigned = expected["preSignedUrl"] = actual["preSignedUrl"]
    if "credentials" in expected:
        replay.credentials = actual["credentials"]
        assert time.strptime(actual["credentials"]["expiration"], "%Y-%m-%dT%H:%M:%SZ")
        assert actual["credentials"]["accessKeyId"].startswith("ASIA"), actual
        expected["credentials"] = dict.fromkeys(expected["credentials"], None) | actual["credentials"]
    found = golden.differences(expected, actual)
    assert not found, found


def replay_method(replay: Replay, event: dict[str, Any]) -> str:
    requests = [other for other in replay.events if other["kind"] == "http-request" and other["n"] < event["n"]]
    return requests[-1]["method"]


def check_resolved(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    """One version, its recipe in base64, and the service's digests in it."""
    (wanted,), (got,) = expected["resolvedComponentVersions"], actual["resolvedComponentVersions"]
    recipe, ours = (json.loads(base64.b64decode(row.pop("recipe"))) for row in (wanted, got))
    if wanted["componentName"].startswith("aws."):
        wanted["arn"] = wanted["arn"].replace(wanted["arn"].split(":")[4], "aws")
    found = golden.differences(wanted, got)
    assert not found, found
    for key in ("ComponentName", "ComponentVersion"):
        assert ours[key] == recipe[key], ours
    if wanted["componentName"].startswith("aws."):
        return
    for manifest, other in zip(recipe["Manifests"], ours["Manifests"], strict=True):
        assert other.get("Lifecycle", {}) == manifest.get("Lifecycle", {}), ours
        for artifact, mine in zip(manifest.get("Artifacts", []), other.get("Artifacts", []), strict=True):
            assert mine["Uri"].endswith(artifact["Uri"].split(":", 1)[1].removeprefix("//wire-bucket")), mine
            assert (mine["Digest"], mine["Algorithm"]) == (artifact["Digest"], artifact["Algorithm"]), mine
