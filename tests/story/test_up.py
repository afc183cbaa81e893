"""A newcomer runs one command."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time

import pytest
import sward_testkit as kit

ORDINARY_USER = "nobody"


def start_up(folder: pathlib.Path, name: str, user: str | None) -> kit.Program:
    binary = kit.BIN
    command = [str(binary), "up", "--dir", str(folder / ".sward"), "--api-port", "0", "--device-port", "0",
               "--mqtt-port", "0"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    popen = {}
    if user:
        copy = folder / "sward"
        if not copy.exists():
            shutil.copy(binary, copy)
            copy.chmod(0o755)
        command[0] = str(copy)
        who = pwd.getpwnam(user)
        os.chown(folder, who.pw_uid, who.pw_gid)
        env["HOME"] = str(folder)
        popen = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    return kit.Program(name, command, folder, env=env, cwd=folder, **popen)


@pytest.mark.parametrize("user", [None, ORDINARY_USER], ids=["as-current-user", "as-ordinary-user"])
def test_one_command_gives_a_private_greengrass(folder, user):
    """F001: cloud, device and hello-world component; Ctrl-C; a quick second start with the same state."""
    if user and os.geteuid() != 0:
        pytest.fail("this story needs root, to become an ordinary user")
    up = start_up(folder, "up-1", user)
    up.expect("Hello, world! (1)", 90)
    text = up.text()
    assert "AWS_ENDPOINT_URL=" in text and "core1" in text

    env = json.loads((folder / ".sward/cloud/endpoints.json").read_text())
    exports = subprocess.run([str(kit.BIN), "env", "--data-dir", str(folder / ".sward/cloud")],
                             check=True, capture_output=True, text=True).stdout
    assert env["api"].rstrip("/") in exports

    before = time.monotonic()
    assert up.stop(signal.SIGINT, deadline=15) == 0
    assert time.monotonic() - before < 10
    kit.assert_nothing_left(folder)

    again = start_up(folder, "up-2", user)
    again.expect("Hello, world! (1)", 60)
    assert json.loads((folder / ".sward/cloud/endpoints.json").read_text()) == env
    assert "com.example.HelloWorld 1.0.0 is deployed" not in again.text(), "the second start deploys nothing"
    assert again.stop(signal.SIGINT, deadline=15) == 0
    kit.assert_nothing_left(folder)


def test_a_killed_supervisor_leaves_nothing_behind(folder):
    up = start_up(folder, "up-1", None)
    up.expect("Hello, world! (1)", 90)
    up.kill()
    kit.wait_for("all programs to end with their supervisor",
                 lambda: not [row for row in kit.processes_of(folder)], 20)
