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


def start_up(folder: pathlib.Path, name: str, user: str | None, *options: str) -> kit.Program:
    binary = kit.BIN
    command = [str(binary), "up", "--dir", str(folder / ".sward"), "--api-port", "0", "--device-port", "0",
               "--mqtt-port", "0", *options]
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


def endpoints(folder: pathlib.Path) -> dict[str, str]:
    return json.loads((folder / ".sward/cloud/endpoints.json").read_text())


def refused(folder: pathlib.Path, name: str, user: str | None = None) -> str:
    """What `sward up` says when it cannot start; it has to fail by itself and to leave nothing."""
    up = start_up(folder, name, user)
    # Far below the minute that it would wait for a deployment's report.
    assert up.process.wait(45) == 1, up.text()
    kit.assert_nothing_left(folder)
    return up.text()


def test_a_cloud_that_is_killed_comes_back_where_its_devices_know_it(folder):
    """Any free ports were asked for; those of the first start are kept by the next one."""
    up = start_up(folder, "up-1", None)
    up.expect("Hello, world! (1)", 90)
    before = endpoints(folder)
    [cloud] = [pid for pid, command in kit.processes_of(folder) if " cloud --data-dir" in command]
    os.kill(cloud, signal.SIGKILL)
    up.expect("! cloud was ended by signal 9; starting it again")

    def ready_again() -> bool:
        assert (folder / ".sward/cloud.log").read_text().count("cloud ready") == 2
        return True
    kit.wait_for("the cloud to be ready again", ready_again)
    assert endpoints(folder) == before
    assert up.stop(signal.SIGINT, deadline=15) == 0
    kit.assert_nothing_left(folder)


def test_ctrl_c_while_the_cloud_starts_ends_it_before_us(folder):
    up = start_up(folder, "up-1", None)
    up.expect("starting the cloud")
    assert up.stop(signal.SIGINT, deadline=15) == 0
    assert not kit.processes_of(folder), up.text()


def test_state_that_is_damaged_is_named_and_never_made_anew(folder):
    first = start_up(folder, "up-1", None, "--no-hello")
    first.expect("Ctrl-C stops everything", 90)
    assert first.stop(signal.SIGINT, deadline=15) == 0
    state = folder / ".sward"

    known = state / "cloud/endpoints.json"
    whole = known.read_text()
    known.write_text(whole[:10])
    text = refused(folder, "endpoints")
    assert "cannot understand the cloud's endpoints" in text and str(known) in text, text
    known.write_text(whole)

    configuration = state / "devices/core1/config"
    configuration.rename(folder / "config")
    configuration.write_text("not a folder")
    text = refused(folder, "config")
    assert "core1 ended with exit code 1" in text and str(configuration) in text, text
    configuration.unlink()
    (folder / "config").rename(configuration)

    (state / "cloud").rename(folder / "saved")
    text = refused(folder, "cloud")
    assert "the state of their cloud is not" in text and str(state / "cloud/sward.db") in text, text
    assert not (state / "cloud").exists()
    (folder / "saved").rename(state / "cloud")

    again = start_up(folder, "up-2", None)
    again.expect("Hello, world! (1)", 60)
    assert again.stop(signal.SIGINT, deadline=15) == 0
    kit.assert_nothing_left(folder)


def test_a_folder_of_another_user_is_not_called_in_use(folder):
    if os.geteuid() != 0:
        pytest.fail("this story needs root, to become an ordinary user")
    (folder / ".sward").mkdir()
    text = refused(folder, "up", ORDINARY_USER)
    assert "cannot use the folder of all state" in text and str(folder / ".sward") in text, text
    assert "another sward up" not in text


def test_a_reader_that_goes_away_is_no_crash(cloud):
    command = [str(kit.BIN), "env", "--data-dir", str(cloud.data)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
