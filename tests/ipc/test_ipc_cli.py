"""greengrass-cli against the IPC server: what it prints and how it ends."""

import json
import resource
import subprocess

from memory_nucleus import FRIEND, STRANGER

UUID = "0b7b5ee2-7d0a-4e0b-9d6c-0d0a2f0c7a11"


def test_components_are_listed_in_aws_lines(nucleus):
    done = nucleus.cli("component", "list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Components currently running in Greengrass:"
    start = lines.index(f"Component Name: {STRANGER}")
    assert lines[start + 1:start + 3] == ["    Version: 1.0.0", "    State: STARTING"]
    assert lines[start + 3].startswith('    Configuration: {"own":1')
    listed = json.loads(nucleus.cli("component", "list", "--output", "json").stdout)
    assert {c["componentName"] for c in listed["components"]} >= {FRIEND, STRANGER}


def test_one_component_and_none(nucleus):
    done = nucleus.cli("component", "details", "-n", STRANGER)
    assert done.stdout.splitlines()[0] == f"Component Name: {STRANGER}"
    missing = nucleus.cli("component", "details", "--name", "com.example.None")
    assert missing.returncode == 1
    assert "ResourceNotFoundError: Component with name com.example.None not found in Greengrass" in missing.stderr
    empty = nucleus.cli("component", "details", "--name", "")
    assert empty.returncode == 1
    assert "InvalidArgumentsError: Component name cannot be empty" in empty.stderr


def test_stop_and_restart_print_nothing(nucleus):
    for verb, state in (("stop", "FINISHED"), ("restart", "RUNNING")):
        done = nucleus.cli("component", verb, "--names", f"{FRIEND}, {STRANGER}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        for component in (FRIEND, STRANGER):
            assert f"State: {state}" in nucleus.cli("component", "details", "-n", component).stdout
    assert nucleus.cli("component", "stop", "-n", "com.example.None").returncode == 1


def test_deployments_are_created_watched_and_listed(nucleus, tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"c": {"MERGE": {"a": 1}}}')
    done = nucleus.cli("deployment", "create", "--merge", "c=1.0.0", "-c", str(config),
                       "--recipeDir", "recipes", "-fp", "ROLLBACK")
    assert done.returncode == 0, done.stderr
    prefix = "Local deployment submitted! Deployment Id: "
    assert done.stdout.startswith(prefix)
    deployment = done.stdout[len(prefix):].strip()
    status = nucleus.cli("deployment", "status", "-i", deployment)
    assert status.stdout == f"{deployment}: SUCCEEDED\nCreated on: 01-02-2026 03:04:05 UTC\n"
    failed = nucleus.cli("deployment", "create", "--merge", "c=9.9.9").stdout[len(prefix):].strip()
    assert nucleus.cli("deployment", "status", "-i", failed).stdout == (
        f"{failed}: FAILED\nCreated on: 01-02-2026 03:04:05 UTC\n"
        "Detailed Status: FAILED_NO_STATE_CHANGE\n"
        "Deployment Error Stack: DEPLOYMENT_FAILURE, NO_AVAILABLE_COMPONENT_VERSION\n"
        "Deployment Error Types: REQUEST_ERROR\n"
        "Deployment Failure Cause: 100 %d of the versions are gone\n")
    listed = nucleus.cli("deployment", "list").stdout
    assert (f"Deployment ID: {deployment}\nCreated on: 01-02-2026 03:04:05 UTC\nStatus: SUCCEEDED\n\n"
            f"Deployment ID: {failed}\n") in listed
    cancelled = nucleus.cli("deployment", "cancel", "-i", deployment)
    assert cancelled.stdout == "Cancellation request is not processed because deployment is already finished\n"


def test_deployments_that_are_not_there(nucleus):
    for arguments, text in (
        (["status", "-i", "nope"], "InvalidArgumentsError: Invalid deploymentId format received. DeploymentId is a UUID"),
        (["status", "-i", UUID], "ResourceNotFoundError: Cannot find deployment"),
        (["cancel", "-i", UUID], f"ResourceNotFoundError: Cannot find the deployment id provided {UUID}"),
        (["create", "-g", "a:b"], "InvalidArgumentsError"),
    ):
        done = nucleus.cli("deployment", *arguments)
        assert done.returncode == 1
        assert text in done.stderr, done.stderr


def test_messages_from_the_terminal(nucleus):
    program = [nucleus.root / "greengrass-cli", "--ggcRootPath", nucleus.root]
    nucleus.cli("--version")
    with subprocess.Popen([*program, "pubsub", "sub", "-t", "cli/x"], stdout=subprocess.PIPE, text=True) as subscriber:
        assert subscriber.stdout.readline() == "Successfully subscribed to topic: cli/x\n"
        assert nucleus.cli("pubsub", "pub", "-t", "cli/x", "-m", "hello").returncode == 0
        assert subscriber.stdout.readline() == "hello\n"
        subscriber.terminate()
    blank = nucleus.cli("pubsub", "pub", "-t", " ", "-m", "x")
    assert (blank.returncode, blank.stderr) == (1, "Topic name cannot be empty\n")


def test_a_wrong_command_line_is_told_by_its_exit_code(nucleus):
    assert nucleus.cli("--help").returncode == 0
    assert nucleus.cli("nosuch").returncode == 2
    assert nucleus.cli("deployment", "status").returncode == 2
    assert nucleus.cli("deployment", "create", "--merge", "X").returncode == 2


def test_a_call_is_quick(nucleus):
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime
    before = used()
    for _ in range(5):
        assert nucleus.cli("component", "list").returncode == 0
    assert used() - before < 2.5  # seconds of CPU, whatever else the machine does; a JVM takes 1.1 each
