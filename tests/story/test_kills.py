"""kill -9 at any moment: the core resumes by itself, the cloud loses nothing it acknowledged."""

import json
import os
import random
import time

import pytest
import sward_testkit as kit

KILLS = int(os.environ.get("SWARD_KILLS", "50"))


def statuses(cloud, deployment):
    return {row["deploymentId"]: row["coreDeviceExecutionStatus"] for row in cloud.gg.list_effective_deployments(
        coreDeviceThingName="core1")["effectiveDeployments"]}.get(deployment)


def test_a_core_killed_in_the_middle_of_a_deployment_finishes_it(cloud, core, tmp_path):
    """Kills at random moments between IN_PROGRESS and the terminal status; seeds are printed.

    boto3 stands in for the CLI here, because a second of start-up a call would hide the moments.
    """
    cloud.gg = cloud.boto3("greengrassv2")
    cloud.aws("s3", "mb", "s3://kills")
    (tmp_path / "payload.bin").write_bytes(os.urandom(3_000_000))
    cloud.aws("s3", "cp", tmp_path / "payload.bin", "s3://kills/payload.bin")
    names = ["com.example.A", "com.example.B"]
    for name in names:
        for version in ("1.0.0", "2.0.0"):
            document = kit.recipe(
                name, version, "", artifacts=[{"URI": "s3://kills/payload.bin"}],
                lifecycle={"install": "sleep 0.2", "run": f"echo {name} {version}; exec sleep 100000"})
            cloud.gg.create_component_version(inlineRecipe=json.dumps(document).encode())

    seed = int(os.environ.get("SWARD_SEED", str(random.randrange(1 << 30))))
    chance = random.Random(seed)
    print(f"SWARD_SEED={seed}")
    wanted = {}
    for round_number in range(KILLS):
        # Each round changes something: versions go back and forth, B comes and goes.
        wanted = {"com.example.A": "2.0.0" if round_number % 2 else "1.0.0"}
        if round_number % 3 != 2:
            wanted["com.example.B"] = "1.0.0" if round_number % 2 else "2.0.0"
        deployment = cloud.gg.create_deployment(
            targetArn=cloud.thing_arn("core1"),
            components={name: {"componentVersion": version} for name, version in wanted.items()},
        )["deploymentId"]
        kit.wait_for("IN_PROGRESS", lambda: statuses(cloud, deployment) in (
            "IN_PROGRESS", "COMPLETED"))
        time.sleep(chance.random() * 0.8)
        core.kill()
        core.start()

        def finished():
            status = statuses(cloud, deployment)
            assert status == "COMPLETED", (round_number, status)
            return True
        kit.wait_for(f"round {round_number} (seed {seed}) to finish by itself", finished)

        def exact():
            running = sorted(row[1] for row in core.processes() if row[1].startswith("sleep 100000"))
            assert len(running) == len(wanted), (running, wanted)
            shown = {row["componentName"]: row["componentVersion"]
                     for row in cloud.gg.list_installed_components(coreDeviceThingName="core1")[
                         "installedComponents"] if row["componentName"] in names}
            assert shown == wanted, (shown, wanted)
            return True
        kit.wait_for(f"the processes of round {round_number} to equal the desired set", exact)
    core.stop()
    kit.assert_nothing_left(core.root)


def test_a_core_that_is_stopped_while_it_starts_cleans_up(cloud, core):
    """kill -9 leaves processes; the next core ends them even when it is stopped at once."""
    cloud.create_component(kit.recipe("com.example.Sleeper", "1.0.0", "exec sleep 100000"))
    deployment = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Sleeper": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core1", deployment, "COMPLETED")
    for pause in (0, 0.005, 0.01, 0.02, 0.04, 0.08):
        core.kill()
        core.start()
        core.program.expect("the core starts")
        time.sleep(pause)  # a moment within the start, not a wait for anything
        core.stop()
        kit.assert_nothing_left(core.root)
        core.start()
        kit.wait_for("the component to run again", lambda: [
            row for row in core.processes() if row[1].startswith("sleep 100000")])


def test_a_killed_cloud_loses_nothing_and_the_core_reconnects(cloud, core):
    cloud.create_component(kit.recipe("com.example.Sleeper", "1.0.0", "sleep 1000"))
    first = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Sleeper": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core1", first, "COMPLETED")
    cloud.create_component(kit.recipe("com.example.Sleeper", "1.1.0", "sleep 1000"))
    second = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Sleeper": {"componentVersion": "1.1.0"}})
    cloud.kill()  # right after the acknowledgement
    cloud.start()
    cloud.await_deployment("core1", second, "COMPLETED", deadline=120)
    kit.wait_for("the new version to be shown", lambda: cloud.installed("core1")["com.example.Sleeper"][
        "componentVersion"] == "1.1.0")
    assert cloud.aws("greengrassv2", "get-deployment", "--deployment-id", first)["deploymentId"] == first


def test_a_persistent_session_survives_the_death_of_the_cloud(cloud):
    """Subscribe, leave, QoS 1 is published, kill -9, start, come back: the message arrives."""
    folder = cloud.folder
    made = cloud.aws("iot", "create-keys-and-certificate", "--set-as-active", "--certificate-pem-outfile",
                     folder / "c.crt", "--private-key-outfile", folder / "c.key")
    cloud.aws("iot", "create-policy", "--policy-name", "all", "--policy-document", json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}))
    cloud.aws("iot", "attach-policy", "--policy-name", "all", "--target", made["certificateArn"])
    base = ["-h", "localhost", "-p", str(cloud.mqtt_port), "--cafile", str(cloud.ca), "--cert",
            str(folder / "c.crt"), "--key", str(folder / "c.key")]
    subscribe = ["mosquitto_sub", *base, "-i", "sleeper", "-c", "-q", "1", "-t", "news/#", "-v"]
    first = kit.Program("sub-1", [*subscribe, "-E"], folder)
    assert first.process.wait(20) == 0, first.text()
    for number in range(5):
        kit.subprocess.run(["mosquitto_pub", *base, "-i", f"p{number}", "-q", "1", "-t", "news/today", "-m",
                            f"message {number}"], check=True, timeout=20)
    cloud.kill()
    cloud.start()
    second = kit.Program("sub-2", [*subscribe, "-C", "5", "-W", "20"], folder)
    assert second.process.wait(30) == 0, second.text()
    assert second.text().split("\n")[:5] == [f"news/today message {number}" for number in range(5)]
