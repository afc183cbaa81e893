"""greengrass-cli against a real core that has no cloud: local deployments, and who may use it."""

import grp
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import uuid

import pytest
import sward_testkit as kit

PREFIX = "Local deployment submitted! Deployment Id: "


class OfflineCore:
    """A core on an empty root, and the CLI that it links there."""

    def __init__(self, folder: pathlib.Path):
        self.root = folder / "core"
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.program = kit.Program("core", [str(kit.BIN), "core", "--root", str(self.root)], folder, env=env)
        kit.wait_for("the CLI to be let in", lambda: self.cli("component", "list").returncode == 0)
        # A program that any user may run: the folder of the tested one may be closed to others.
        self.copy = folder / "greengrass-cli"
        shutil.copy(kit.BIN, self.copy)
        self.copy.chmod(0o755)

    def cli(self, *args: str, program: pathlib.Path | None = None, **popen) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(program or self.root / "bin" / "greengrass-cli"), "--ggcRootPath", str(self.root), *args],
            capture_output=True, text=True, timeout=60, cwd="/", **popen)

    def cli_of(self, user: pwd.struct_passwd, groups: list[int], *args: str) -> subprocess.CompletedProcess:
        return self.cli(*args, program=self.copy, user=user.pw_uid, group=user.pw_gid, extra_groups=groups)

    def create(self, *args: str) -> str:
        done = self.cli("deployment", "create", *args)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout.startswith(PREFIX) and done.stdout.endswith("\n")
        return str(uuid.UUID(done.stdout[len(PREFIX):].strip()))

    def await_status(self, deployment: str, wanted: str) -> list[str]:
        def seen() -> list[str]:
            lines = self.cli("deployment", "status", "-i", deployment).stdout.splitlines()
            assert lines and lines[0] == f"{deployment}: {wanted}", lines
            return lines
        return kit.wait_for(f"{deployment} to be {wanted}", seen)

    def component(self, name: str) -> list[str]:
        return self.cli("component", "details", "--name", name).stdout.splitlines()

    def token_file(self) -> str:
        (file,) = [file for file in (self.root / "cli_ipc_info").iterdir() if os.access(file, os.R_OK)]
        return file.read_text()


@pytest.fixture
def offline(folder):
    core = OfflineCore(folder)
    yield core
    assert core.program.stop() == 0


def write_recipe(folder: pathlib.Path, name: str, version: str, run: str, **options) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{version}.json").write_text(json.dumps(kit.recipe(name, version, run, **options)))


def test_local_deployments_from_recipe_to_removal(offline, folder):
    recipes, artifacts = folder / "recipes", folder / "artifacts"
    script = artifacts / "com.example.Local" / "1.0.0" / "say.sh"
    script.parent.mkdir(parents=True)
    script.write_text("echo artifact says $1\nexec sleep 1000\n")
    write_recipe(recipes, "com.example.Local", "1.0.0", "sh {artifacts:path}/say.sh {configuration:/word}",
                 configuration={"word": "hello", "kept": [1, 2]})
    write_recipe(recipes, "com.example.Other", "1.0.0", "exec sleep 1000")
    assert offline.cli("deployment", "list").stdout == ""

    first = offline.create("-m", "com.example.Local=1.0.0", "--merge", "com.example.Other=1.0.0",
                           "-r", str(recipes), "-a", str(artifacts))
    lines = offline.await_status(first, "SUCCEEDED")
    assert len(lines) == 2 and lines[1].startswith("Created on: ") and lines[1].endswith(" UTC")
    assert offline.component("com.example.Local") == [
        "Component Name: com.example.Local", "    Version: 1.0.0", "    State: RUNNING",
        '    Configuration: {"kept":[1,2],"word":"hello"}']
    log = offline.root / "logs" / "com.example.Local.log"
    kit.wait_for("the artifact to run", lambda: "artifact says hello" in log.read_text())

    # MERGE and RESET, in one group and then in another: each group has roots of its own.
    second = offline.create("-c", json.dumps({"com.example.Local": {"MERGE": {"word": "changed"}, "RESET": ["/kept"]}}))
    offline.await_status(second, "SUCCEEDED")
    assert offline.component("com.example.Local")[3] == '    Configuration: {"kept":[1,2],"word":"changed"}'
    refused = offline.cli("deployment", "create", "--groupId", "a:b")
    assert refused.returncode == 1 and "Thing group name cannot contain colon characters" in refused.stderr

    third = offline.create("--remove", "com.example.Local,com.example.Other")
    offline.await_status(third, "SUCCEEDED")
    missing = offline.cli("component", "details", "-n", "com.example.Local")
    assert missing.returncode == 1 and "Component with name com.example.Local not found" in missing.stderr

    # What fails is accepted first and says why afterwards.
    failed = offline.create("--merge", "com.example.Local=9.9.9")
    lines = offline.await_status(failed, "FAILED")
    assert lines[2:5] == [
        "Detailed Status: FAILED_NO_STATE_CHANGE",
        "Deployment Error Stack: DEPLOYMENT_FAILURE, NO_AVAILABLE_COMPONENT_VERSION, "
        "COMPONENT_VERSION_REQUIREMENTS_NOT_MET",
        "Deployment Error Types: REQUEST_ERROR"]
    assert lines[5].startswith("Deployment Failure Cause: ") and "=9.9.9" in "".join(lines[5:])
    nowhere = offline.create("--recipeDir", str(folder / "nowhere"))
    assert "nowhere" in "\n".join(offline.await_status(nowhere, "FAILED"))
    finished = offline.cli("deployment", "cancel", "-i", first)
    assert (finished.returncode, finished.stdout) == (
        0, "Cancellation request is not processed because deployment is already finished\n")

    blocks = offline.cli("deployment", "list").stdout.split("\n\n")
    assert [block.splitlines()[0].removeprefix("Deployment ID: ") for block in blocks] == [
        first, second, third, failed, nowhere], "oldest first"
    assert [block.splitlines()[2] for block in blocks] == [
        "Status: SUCCEEDED", "Status: SUCCEEDED", "Status: SUCCEEDED", "Status: FAILED", "Status: FAILED"]


def test_a_deployment_takes_no_token_from_anybody(offline, folder):
    before = offline.token_file() if os.geteuid() != 0 else (offline.root / "cli_ipc_info" / "user-0").read_text()
    write_recipe(folder / "recipes", "com.example.Local", "1.0.0", "exec sleep 1000")
    offline.await_status(offline.create("-m", "com.example.Local=1.0.0", "-r", str(folder / "recipes")), "SUCCEEDED")
    after = offline.token_file() if os.geteuid() != 0 else (offline.root / "cli_ipc_info" / "user-0").read_text()
    assert before == after


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_groups_of_users_share_the_cli_and_others_stay_out(offline):
    nobody = pwd.getpwnam("nobody")
    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, nobody.pw_gid))
    stranger = offline.cli_of(nobody, [], "component", "list")
    assert stranger.returncode == 1 and "Please run CLI as authorized user or group" in stranger.stderr
    # The token of a user is worth nothing in another user's hands, wherever he has it from.
    info = offline.root / "cli_ipc_info"
    stolen = info / f"user-{nobody.pw_uid}"
    shutil.copy(info / "user-0", stolen)
    os.chown(stolen, nobody.pw_uid, -1)
    thief = offline.cli_of(nobody, [], "component", "list")
    assert thief.returncode == 1 and "Unable to create ipc client" in thief.stderr
    stolen.unlink()

    change = json.dumps({"aws.greengrass.Cli": {"MERGE": {"AuthorizedPosixGroups": f"no-such-group, {group.gr_name}"}}})
    created = offline.create("--merge", "aws.greengrass.Cli=2.18.0", "--update-config", change)
    member = kit.wait_for("the group to be let in", lambda: (
        done := offline.cli_of(nobody, [group.gr_gid], "component", "list")).returncode == 0 and done)
    assert "aws.greengrass.Nucleus" in member.stdout
    assert [(file.name, oct(file.stat().st_mode & 0o777), file.stat().st_gid) for file in info.iterdir()] == [
        (f"group-{group.gr_gid}", "0o640", group.gr_gid)]
    stranger = offline.cli_of(nobody, [], "component", "list")
    assert stranger.returncode == 1 and "Please run CLI as authorized user or group" in stranger.stderr
    assert offline.cli("component", "list").returncode == 0, "root may read every group's file"
    offline.await_status(created, "SUCCEEDED")

    # Deploying the same again renews nothing; naming no group gives the users their files back.
    before = (info / f"group-{group.gr_gid}").read_text()
    offline.await_status(offline.create("--update-config", change), "SUCCEEDED")
    assert (info / f"group-{group.gr_gid}").read_text() == before
    none = json.dumps({"aws.greengrass.Cli": {"MERGE": {"AuthorizedPosixGroups": ""}}})
    offline.await_status(offline.create("--update-config", none), "SUCCEEDED")
    kit.wait_for("the users' files", lambda: [file.name for file in info.iterdir()] == ["user-0"])
    assert offline.cli_of(nobody, [group.gr_gid], "component", "list").returncode == 1


def test_a_deployment_that_waits_can_be_canceled_and_one_that_is_applied_cannot(offline, folder):
    recipes, gate = folder / "recipes", folder / "gate"
    write_recipe(recipes, "com.example.Slow", "1.0.0", "", lifecycle={
        "install": f"while [ ! -e {gate} ]; do sleep 0.1; done", "run": "exec sleep 1000"})
    write_recipe(recipes, "com.example.Never", "1.0.0", "exec sleep 1000")
    slow = offline.create("-m", "com.example.Slow=1.0.0", "-r", str(recipes))
    kit.wait_for("the component to be installed", lambda: offline.component("com.example.Slow"))
    waiting = offline.create("-m", "com.example.Never=1.0.0", "-r", str(recipes))
    assert offline.await_status(waiting, "QUEUED")
    canceled = offline.cli("deployment", "cancel", "-i", waiting)
    assert (canceled.returncode, canceled.stdout) == (0, f"Cancel request submitted. Deployment ID: {waiting}\n")
    offline.await_status(waiting, "CANCELED")
    too_late = offline.cli("deployment", "cancel", "-i", slow)
    assert too_late.returncode == 1 and "is being applied and runs to its end" in too_late.stderr
    gate.touch()
    offline.await_status(slow, "SUCCEEDED")
    assert offline.component("com.example.Never") == []
    status = offline.cli("deployment", "status", "-i", waiting).stdout.splitlines()
    assert status[0] == f"{waiting}: CANCELED" and "1970" not in status[1]


def test_components_are_stopped_and_restarted(offline, folder):
    recipes = folder / "recipes"
    write_recipe(recipes, "com.example.Local", "1.0.0", "echo begins; exec sleep 1000")
    offline.await_status(offline.create("-m", "com.example.Local=1.0.0", "-r", str(recipes)), "SUCCEEDED")
    log = offline.root / "logs" / "com.example.Local.log"

    def begun(times: int) -> None:
        kit.wait_for(f"{times} beginnings", lambda: log.read_text().count("stdout. begins") == times)

    def state(wanted: str) -> None:
        kit.wait_for(f"it to be {wanted}", lambda: f"    State: {wanted}" in offline.component("com.example.Local"))
    begun(1)
    for verb, times, wanted in (("restart", 2, "RUNNING"), ("stop", 2, "FINISHED"), ("restart", 3, "RUNNING")):
        done = offline.cli("component", verb, "--names", "com.example.Local")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        begun(times)
        state(wanted)
    unknown = offline.cli("component", "stop", "--names", "com.example.None")
    assert unknown.returncode == 1 and "Component with name com.example.None not found" in unknown.stderr
