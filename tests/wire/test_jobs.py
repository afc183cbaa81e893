"""Deployments to a thing group travel by jobs in a namespace of their own."""

import json
import uuid

import pytest

import sward_testkit as kit
from golden import NAMESPACE
from replay import Replay

GREENGRASS = NAMESPACE.removeprefix("namespace-")


def test_job_deployment(wire_cloud):
    """To SUCCEEDED, with both sorts of artifacts, credentials and the list of groups."""
    replay = Replay(wire_cloud, "java-job-deployment").run()
    (deployment,) = replay.jobs
    assert replay.api.get_deployment(deploymentId=deployment)["deploymentStatus"] == "ACTIVE"


def test_job_failures(wire_cloud):
    Replay(wire_cloud, "java-job-failures").run()


def test_job_stale(wire_cloud):
    Replay(wire_cloud, "java-job-stale").run()


def test_two_jobs_wait(wire_cloud):
    """The second one is listed while the first runs, and is next when it is done."""
    replay = Replay(wire_cloud, "java-job-two-queued").run()
    states = {row["targetArn"].rsplit("/", 1)[1]: row["coreDeviceExecutionStatus"]
              for row in replay.effective().values()}
    assert states[replay.group] in ("SUCCEEDED", "COMPLETED")
    assert states[replay.second_group] == "FAILED"


def test_job_canceled(wire_cloud):
    """The nucleus says nothing more, so the cloud says CANCELED itself."""
    replay = Replay(wire_cloud, "java-job-canceled").run()
    ((deployment, job),) = replay.jobs.items()
    row = replay.iot.describe_job_execution(jobId=job, thingName=replay.thing)["execution"]
    assert row["status"] == "CANCELED"
    assert replay.effective()[deployment]["coreDeviceExecutionStatus"] == "CANCELED"
    assert replay.api.get_deployment(deploymentId=deployment)["deploymentStatus"] == "CANCELED"


def test_bad_document_is_never_queued(wire_cloud):
    """It would silence a Java nucleus until it restarts: refused when somebody makes it."""
    from botocore.config import Config
    replay = Replay(wire_cloud, "java-job-bad-document")
    replay.launch()
    bad = [execution["jobDocument"] for event in replay.events if isinstance(event.get("payload"), dict)
           and (execution := event["payload"].get("execution"))
           and any("version" not in row for row in execution["jobDocument"]["components"].values())]
    assert len(bad) >= 2
    unchecked = wire_cloud.client("greengrassv2", config=Config(parameter_validation=False))
    for document in bad:
        with pytest.raises(unchecked.exceptions.ValidationException, match="com.example.Hello"):
            unchecked.create_deployment(
                targetArn=wire_cloud.arn(f"thinggroup/{replay.group}"), components=document["components"])
        with pytest.raises(replay.iot.exceptions.InvalidRequestException):
            replay.iot.create_job(
                jobId=str(uuid.uuid4()), targets=[wire_cloud.arn(f"thinggroup/{replay.group}")],
                document=json.dumps(document), namespaceId=GREENGRASS)
    # What comes next reaches the nucleus, alone.
    good = replay.job_document("job-17")
    job = replay.jobs[replay.deploy(good, f"thinggroup/{replay.group}")]
    listed = json.loads(replay.main.take(replay.jobs_topic(f"notify-{NAMESPACE}")).payload)["jobs"]
    assert [row["jobId"] for row in listed["QUEUED"]] == [job]
    replay.step(replay.event(21))
    answer = json.loads(replay.main.take(replay.jobs_topic(f"$next/{NAMESPACE}/get/accepted")).payload)
    assert answer["execution"]["jobId"] == job
    replay.check_nothing_else_came()


def test_job_while_disconnected(own_cloud):
    """The terminal status arrives after the outage, twice; the repeat is refused and harms nothing."""
    replay = Replay(own_cloud, "java-job-while-disconnected")
    replay.after_launch = lambda: replay.settle(40)
    desired = json.loads(replay.event(40)["payload"]["state"]["desired"]["fleetConfig"])
    replay.before[25] = lambda: replay.deploy(desired, f"thing/{replay.thing}")
    # Made while the nucleus was away; the session that was kept has it, too.
    queued = []
    replay.before[27] = lambda: queued.append(replay.main.take(replay.shadow_topic("update/accepted")))
    replay.run()
    assert "desired" in json.loads(queued[0].payload)["state"]
    statuses = {row["targetArn"].rsplit(":", 1)[1]: row["coreDeviceExecutionStatus"]
                for row in replay.effective().values()}
    assert statuses[f"thinggroup/{replay.group}"] in ("SUCCEEDED", "COMPLETED")
    assert statuses[f"thing/{replay.thing}"] == "IN_PROGRESS"
    kit.wait_for("the cloud to answer", lambda: replay.iot.list_things()["things"])
