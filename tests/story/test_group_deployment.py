"""Deployments to a thing group: members get it, later members get it by themselves."""

import json

import sward_testkit as kit


def test_group_revisions_merge_reset_and_a_later_member(cloud):
    core1 = kit.Core(cloud, "core1", "Fleet").start()
    core1.await_healthy()
    run = "echo 'greeting={configuration:/Greeting} size={configuration:/Size}'; sleep 1000"
    for version in ("1.0.0", "1.1.0"):
        cloud.create_component(kit.recipe("com.example.Greeter", version, run,
                                          configuration={"Greeting": "hello", "Size": 1}))
    group = cloud.group_arn("Fleet")

    first = cloud.deploy(group, {"com.example.Greeter": {"componentVersion": "1.0.0"}}, deployment_name="greeters")
    row = cloud.await_deployment("core1", first, "SUCCEEDED")
    assert row["deploymentName"] == "greeters" and row["iotJobId"]
    core1.await_log("com.example.Greeter", "greeting=hello size=1")
    got = cloud.aws("greengrassv2", "get-deployment", "--deployment-id", first)
    assert got["deploymentStatus"] == "ACTIVE", "a group deployment is continuous and never completes"
    assert got["iotJobId"] == row["iotJobId"]

    second = cloud.deploy(group, {"com.example.Greeter": {
        "componentVersion": "1.1.0",
        "configurationUpdate": {"merge": json.dumps({"Greeting": "good day", "Size": 2})}}})
    cloud.await_deployment("core1", second, "SUCCEEDED")
    core1.await_log("com.example.Greeter", "greeting=good day size=2")
    assert cloud.aws("greengrassv2", "get-deployment", "--deployment-id", first)["deploymentStatus"] in (
        "INACTIVE", "CANCELED")

    third = cloud.deploy(group, {"com.example.Greeter": {
        "componentVersion": "1.1.0", "configurationUpdate": {"reset": ["/Greeting"]}}})
    cloud.await_deployment("core1", third, "SUCCEEDED")
    core1.await_log("com.example.Greeter", "greeting=hello size=2")

    # A second core joins later and receives the group's deployment by itself.
    core2 = kit.Core(cloud, "core2", "Fleet").start()
    cloud.await_deployment("core2", third, "SUCCEEDED")
    core2.await_log("com.example.Greeter", "greeting=hello size=1")
    devices = cloud.aws("greengrassv2", "list-core-devices", "--thing-group-arn", group)["coreDevices"]
    assert {device["coreDeviceThingName"] for device in devices} == {"core1", "core2"}

    # A thing deployment lives beside the group's; removing the component from the group removes it.
    cloud.create_component(kit.recipe("com.example.Own", "1.0.0", "sleep 1000"))
    own = cloud.deploy(cloud.thing_arn("core2"), {"com.example.Own": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core2", own, "COMPLETED")
    assert set(cloud.installed("core2")) >= {"com.example.Own", "com.example.Greeter"}
    fourth = cloud.deploy(group, {})
    for name in ("core1", "core2"):
        cloud.await_deployment(name, fourth, "SUCCEEDED")
    kit.wait_for("only the thing's own component to be left", lambda: (
        "com.example.Greeter" not in cloud.installed("core2") and "com.example.Own" in cloud.installed("core2")))
