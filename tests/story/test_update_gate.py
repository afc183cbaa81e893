"""Components are asked before they are updated: one puts an update off, one refuses a configuration."""

import json
import time

import sward_testkit as kit

BUSY = r'''
"""Puts the first notice of every deployment off, agrees to the second, and says what it hears."""
import sys, time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

ipc = GreengrassCoreIPCClientV2()
say = lambda text: print(text, flush=True)
revision = lambda notice: notice.deployment_id.rsplit(":", 1)[1]
deferred = set()

def on_notice(event):
    if event.post_update_event:
        return say("over %s" % revision(event.post_update_event))
    notice = event.pre_update_event
    again = notice.deployment_id in deferred
    deferred.add(notice.deployment_id)
    assert notice.is_ggc_restarting is False
    say("%s %s" % ("agreed" if again else "deferred", revision(notice)))
    ipc.defer_component_update(deployment_id=notice.deployment_id, message="busy",
                               recheck_after_ms=0 if again else 2500)

ipc.subscribe_to_component_updates(on_stream_event=on_notice)
try:
    ipc.defer_component_update(deployment_id="none", recheck_after_ms=0)
except Exception as error:
    say("late answer: %s" % type(error).__name__)
say("ready")
while True:
    time.sleep(60)
'''

PICKY = r'''
"""Refuses every configuration whose limit is above ten; updates themselves suit it."""
import time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import ConfigurationValidityReport

ipc = GreengrassCoreIPCClientV2()
say = lambda text: print(text, flush=True)

revision = lambda notice: notice.deployment_id.rsplit(":", 1)[1]

def on_question(event):
    question = event.validate_configuration_update_event
    limit = question.configuration["limit"]
    say("asked for %s" % limit)
    ipc.send_configuration_validity_report(configuration_validity_report=ConfigurationValidityReport(
        status="ACCEPTED" if limit <= 10 else "REJECTED", deployment_id=question.deployment_id,
        message="the limit %s is above ten" % limit))

def on_notice(event):
    if event.post_update_event:
        return say("over %s" % revision(event.post_update_event))
    say("told %s" % revision(event.pre_update_event))
    ipc.defer_component_update(deployment_id=event.pre_update_event.deployment_id, recheck_after_ms=0)

ipc.subscribe_to_validate_configuration_updates(on_stream_event=on_question)
ipc.subscribe_to_component_updates(on_stream_event=on_notice)
say("ready")
while True:
    time.sleep(60)
'''


def script_recipe(name: str, program: str, **options) -> dict:
    """A component whose whole program stands in its recipe."""
    run = f"exec {kit.PYTHON} -u - <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM\n"
    return kit.recipe(name, "1.0.0", run, **options)


def test_a_component_puts_an_update_off_and_then_lets_it_through(cloud, core):
    cloud.create_component(script_recipe("com.example.Busy", BUSY))
    cloud.create_component(kit.recipe("com.example.New", "1.0.0", "exec sleep 1000"))
    cloud.create_component(kit.recipe("com.example.Faulty", "1.0.0", "", lifecycle={"install": "exit 3"}))
    busy = {"com.example.Busy": {"componentVersion": "1.0.0", **kit.python_run_with()}}
    cloud.await_deployment("core1", cloud.deploy(cloud.thing_arn("core1"), busy), "COMPLETED")
    core.await_log("com.example.Busy", "stdout. ready")
    assert "late answer: ServiceError" in core.log("com.example.Busy")

    begin = time.monotonic()
    wanted = {**busy, "com.example.New": {"componentVersion": "1.0.0"}}
    second = cloud.deploy(cloud.thing_arn("core1"), wanted)
    core.await_log("com.example.Busy", "stdout. deferred")
    assert "com.example.New" not in core.cli("component", "list")
    cloud.await_deployment("core1", second, "COMPLETED")
    assert time.monotonic() - begin > 2.5, "it was asked again before the time it asked for"
    await_notices(core, "com.example.Busy", "deferred 2", "agreed 2", "over 2")
    assert cloud.installed("core1")["com.example.New"]["lifecycleState"] == "RUNNING"

    # A local deployment asks nobody (as AWS's does), and says nothing afterwards either.
    change = json.dumps({"com.example.New": {"MERGE": {"a": 1}}})
    done = core.cli("deployment", "create", "--merge", "com.example.New=1.0.0", "--update-config", change)
    await_local(core, done.split()[-1], "SUCCEEDED")
    # One that fails after it was announced is over, too.
    third = cloud.deploy(cloud.thing_arn("core1"), {**wanted, "com.example.Faulty": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core1", third, "FAILED")
    await_notices(core, "com.example.Busy", "deferred 2", "agreed 2", "over 2", "deferred 3", "agreed 3", "over 3")


def test_a_component_refuses_a_configuration_and_the_deployment_says_why(cloud, core):
    cloud.create_component(script_recipe("com.example.Picky", PICKY, configuration={"limit": 1}))

    def deploy(limit: int) -> str:
        return cloud.deploy(cloud.thing_arn("core1"), {"com.example.Picky": {
            "componentVersion": "1.0.0", **kit.python_run_with(),
            "configurationUpdate": {"merge": json.dumps({"limit": limit})}}})
    cloud.await_deployment("core1", deploy(2), "COMPLETED")
    core.await_log("com.example.Picky", "stdout. ready")
    cloud.await_deployment("core1", deploy(7), "COMPLETED")
    core.await_log("com.example.Picky", "stdout. asked for 7")

    row = cloud.await_deployment("core1", deploy(99), "FAILED")
    assert row["statusDetails"]["errorStack"] == ["DEPLOYMENT_FAILURE", "COMPONENT_CONFIGURATION_NOT_VALID"]
    assert "com.example.Picky" in row["reason"] and "the limit 99 is above ten" in row["reason"]
    details = core.cli("component", "details", "--name", "com.example.Picky")
    assert '"limit":7' in details and "State: RUNNING" in details
    # It was told that updates come, and is told that they are over: also of the one that came to nothing.
    await_notices(core, "com.example.Picky", "told 2", "over 2", "told 3", "over 3")

    # The same of a local deployment, which waits for the answer, too.
    change = json.dumps({"com.example.Picky": {"MERGE": {"limit": 50}}})
    created = core.cli("deployment", "create", "--merge", "com.example.Picky=1.0.0", "--update-config", change)
    status = await_local(core, created.split()[-1], "FAILED")
    assert "Detailed Status: FAILED_NO_STATE_CHANGE" in status
    assert "the limit 50 is above ten" in status
    assert '"limit":7' in core.cli("component", "details", "--name", "com.example.Picky")


def await_notices(core: kit.Core, component: str, *expected: str) -> None:
    """Waits until a component has printed these words and revisions. The end of the deployment that
    brought the component itself is heard or not, as quick as it was with subscribing."""
    def seen() -> bool:
        lines = [line.split("stdout. ", 1)[1].split(". {", 1)[0]
                 for line in core.log(component).splitlines() if "stdout. " in line]
        words = ("told", "deferred", "agreed", "over")
        notices = [line for line in lines if line.split()[0] in words and line != "over 1"]
        assert notices == list(expected), lines
        return True
    kit.wait_for(f"{expected} of {component}", seen)


def await_local(core: kit.Core, deployment: str, wanted: str) -> str:
    def seen() -> str:
        status = core.cli("deployment", "status", "--deploymentId", deployment)
        assert f"{deployment}: {wanted}\n" in status, status
        return status
    return kit.wait_for(f"local deployment {deployment} to be {wanted}", seen)
