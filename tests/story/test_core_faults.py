"""A core whose files or settings are wrong: it starts, runs what is local, and mends itself."""

import json
import socket

import sward_testkit as kit

SLOW = kit.recipe("com.example.Slow", "1.0.0", "", lifecycle={
    "install": {"script": "echo installing; sleep 600", "timeout": 1200}, "run": "true"})
LOCAL = kit.recipe("com.example.Local", "1.0.0", "echo local work; exec sleep 600")


def deploy_locally(core: kit.Core, recipe: dict) -> None:
    folder = core.root.parent / f"{core.name}-recipes"
    folder.mkdir(exist_ok=True)
    name, version = recipe["ComponentName"], recipe["ComponentVersion"]
    (folder / f"{name}-{version}.json").write_text(json.dumps(recipe))
    core.cli("deployment", "create", "--recipeDir", str(folder), "--merge", f"{name}={version}")


def await_socket(core: kit.Core) -> None:
    kit.wait_for("the core to answer", lambda: (core.cli("component", "list"), True)[1])


def test_a_certificate_that_comes_late_is_taken(cloud):
    core = kit.Core(cloud, "late1")
    certificate = core.root / "certs/device.pem.crt"
    aside = certificate.with_name("aside")
    certificate.rename(aside)
    core.start()
    await_socket(core)
    deploy_locally(core, LOCAL)
    core.await_log("com.example.Local", "local work")
    aside.rename(certificate)
    core.await_healthy()
    # The data plane has the certificate, too.
    cloud.create_component(kit.recipe("com.example.FromCloud", "1.0.0", "echo from the cloud"))
    deployment = cloud.deploy(cloud.thing_arn("late1"), {"com.example.FromCloud": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("late1", deployment)
    assert core.stop() == 0


def test_settings_that_cannot_be_used_are_left_out(cloud):
    core = kit.Core(cloud, "odd1")
    taken = socket.create_server(("127.0.0.1", 0))
    bad = core.root.parent / "odd1.json"
    bad.write_text(json.dumps({"services": {
        "aws.greengrass.Nucleus": {"configuration": {
            "mqtt": {"keepAliveTimeoutMs": "soon", "maxInFlightPublishes": -7}}},
        "aws.greengrass.TokenExchangeService": {"configuration": {"port": taken.getsockname()[1]}},
        # Of an AWS core; no type of ours.
        "com.example.Function": {"componentType": "LAMBDA", "version": "1.0.0", "lifecycle": {}},
    }}))
    core.program = kit.Program(
        "odd1-1", [str(kit.BIN), "core", "--root", str(core.root), "--init-config", str(bad)], cloud.folder)
    core.await_healthy()
    deploy_locally(core, LOCAL)
    core.await_log("com.example.Local", "local work")
    assert core.stop() == 0
    taken.close()


def test_a_component_that_installs_for_long_does_not_hide_the_core(cloud):
    core = kit.Core(cloud, "slow1").start()
    core.await_healthy()
    deploy_locally(core, SLOW)
    core.await_log("com.example.Slow", "installing")
    core.kill()

    def shown() -> str:
        return cloud.aws("greengrassv2", "get-core-device", "--core-device-thing-name", "slow1")[
            "lastStatusUpdateTimestamp"]
    before = shown()
    core.start()
    kit.wait_for("the core to report itself", lambda: shown() > before)
    assert core.stop(deadline=40) == 0
