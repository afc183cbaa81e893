"""Starts real `sward` programs in a folder of their own and drives them with the real AWS CLI.

Nothing here knows how Sward works inside: a cloud is a process with a data directory, a core is a
process with a root, and everything else goes through the AWS CLI, boto3, mosquitto and files that
a user may read.
"""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("SWARD_BIN", ROOT / "target/debug/sward"))
AWS = ROOT / ".venv/bin/aws"
PYTHON = ROOT / ".venv/bin/python"
DEADLINE = float(os.environ.get("SWARD_TEST_DEADLINE", "60"))


def python_run_with() -> dict[str, Any]:
    """How a deployment lets a component use PYTHON: as the default user where that user may enter
    the checkout, else as ourselves."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    try:
        probe = subprocess.run([str(PYTHON), "-c", "import awsiot, boto3"], user=nobody.pw_uid, group=nobody.pw_gid,
                               extra_groups=[], capture_output=True, cwd="/")
        may_enter = probe.returncode == 0
    except PermissionError:
        may_enter = False
    return {} if may_enter else {"runWith": {"posixUser": "root"}}


def new_folder() -> pathlib.Path:
    """A folder that other users may enter: components of a root core run as somebody else."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sward-test-"))
    folder.chmod(0o755)
    return folder


def wait_for(what: str, check: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """Waits until `check` returns something true and returns it; its last failure is the message."""
    end = time.monotonic() + deadline
    last: Any = None
    while True:
        try:
            last = check()
            if last:
                return last
        except (AssertionError, OSError, KeyError, IndexError, CommandFailed) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:.0f} s for {what}; last seen: {last!r}")
        time.sleep(0.1)


class CommandFailed(Exception):
    """A client command that exited with another status than 0."""

    def __init__(self, command: list[str], status: int, stdout: str, stderr: str):
        super().__init__(f"{shlex.join(command)}: exit {status}\n{stdout}\n{stderr}")
        self.status, self.stdout, self.stderr = status, stdout, stderr


class Program:
    """A child process whose output goes to a file."""

    def __init__(self, name: str, command: list[str], folder: pathlib.Path, env: dict[str, str] | None = None,
                 **popen: Any):
        self.name, self.command = name, [str(part) for part in command]
        self.output = folder / f"{name}.out"
        self._file = open(self.output, "ab")
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
            env=env, **popen,
        )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def expect(self, text: str, deadline: float = DEADLINE) -> None:
        def seen() -> bool:
            if text in self.text():
                return True
            if not self.running():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.text()[-4000:]}")
            return False
        wait_for(f"{text!r} from {self.name}", seen, deadline)

    def stop(self, sig: int = signal.SIGTERM, deadline: float = 20) -> int:
        if self.running():
            self.process.send_signal(sig)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop within {deadline} s:\n{self.text()[-4000:]}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Cloud:
    """One `sward cloud`, restartable on the same ports and data."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.data = folder / "cloud"
        self.starts = 0
        self.ports = ["--api-port", "0", "--device-port", "0", "--mqtt-port", "0"]
        self.program: Program | None = None
        self._env: dict[str, str] | None = None

    def start(self) -> "Cloud":
        self.starts += 1
        self.program = Program(
            f"cloud-{self.starts}",
            [str(BIN), "cloud", "--data-dir", str(self.data), *self.ports], self.folder,
        )
        self.program.expect("sward cloud ready")
        where = self.endpoints()
        self.ports = [
            "--api-port", where["api"].rsplit(":", 1)[1].strip("/"),
            "--device-port", where["device"].rsplit(":", 1)[1],
            "--mqtt-port", where["mqtt"].rsplit(":", 1)[1],
        ]
        return self

    def endpoints(self) -> dict[str, str]:
        return json.loads((self.data / "endpoints.json").read_text())

    @property
    def ca(self) -> pathlib.Path:
        return self.data / "ca.pem"

    @property
    def mqtt_port(self) -> int:
        return int(self.endpoints()["mqtt"].rsplit(":", 1)[1])

    def stop(self) -> int:
        assert self.program
        return self.program.stop()

    def kill(self) -> None:
        assert self.program
        self.program.kill()

    def env(self) -> dict[str, str]:
        """The environment of a shell after `eval "$(sward env)"`, and nothing else of AWS."""
        if self._env is None:
            script = f'eval "$({shlex.quote(str(BIN))} env --data-dir {shlex.quote(str(self.data))})" && env -0'
            base = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
            out = subprocess.run(["bash", "-c", script], check=True, capture_output=True, env=base).stdout
            self._env = dict(pair.split("=", 1) for pair in out.decode().split("\0") if "=" in pair)
            self._env["AWS_PAGER"] = ""
            self._env["AWS_MAX_ATTEMPTS"] = "1"
        return self._env

    def aws(self, *args: str | pathlib.Path) -> Any:
        """Runs the real AWS CLI; JSON answers are parsed."""
        command = [str(AWS), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env(), timeout=120)
        if done.returncode != 0:
            raise CommandFailed(command, done.returncode, done.stdout, done.stderr)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            return done.stdout

    def aws_refused(self, code: str, *args: str | pathlib.Path) -> str:
        """Runs a call that must be refused with this AWS error code; returns the message."""
        try:
            answer = self.aws(*args)
        except CommandFailed as refusal:
            assert f"({code})" in refusal.stderr, refusal.stderr
            return refusal.stderr
        raise AssertionError(f"{shlex.join(map(str, args))} was accepted: {answer}")

    def boto3(self, service: str) -> Any:
        import boto3  # the client under test, not a dependency of the harness

        env = self.env()
        section: dict[str, str] = {}
        for line in pathlib.Path(env["AWS_SHARED_CREDENTIALS_FILE"]).read_text().splitlines():
            if "=" in line:
                key, value = line.split("=", 1)
                section[key.strip()] = value.strip()
        return boto3.client(
            service, endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"],
            aws_access_key_id=section["aws_access_key_id"],
            aws_secret_access_key=section["aws_secret_access_key"],
        )

    # What the stories do over and over.

    def thing_arn(self, name: str) -> str:
        where = self.endpoints()
        return f"arn:aws:iot:{where['region']}:{where['account']}:thing/{name}"

    def group_arn(self, name: str) -> str:
        where = self.endpoints()
        return f"arn:aws:iot:{where['region']}:{where['account']}:thinggroup/{name}"

    def create_component(self, recipe: dict[str, Any] | str) -> dict[str, Any]:
        text = recipe if isinstance(recipe, str) else json.dumps(recipe)
        suffix = ".yaml" if isinstance(recipe, str) else ".json"
        with tempfile.NamedTemporaryFile("w", suffix=suffix) as file:
            file.write(text)
            file.flush()
            return self.aws("greengrassv2", "create-component-version", "--inline-recipe", f"fileb://{file.name}")

    def deploy(self, target_arn: str, components: dict[str, Any], **options: Any) -> str:
        answer = self.aws(
            "greengrassv2", "create-deployment", "--target-arn", target_arn,
            "--components", json.dumps(components),
            *(part for key, value in options.items()
              for part in ("--" + key.replace("_", "-"), value if isinstance(value, str) else json.dumps(value))),
        )
        return answer["deploymentId"]

    def effective(self, thing: str) -> list[dict[str, Any]]:
        return self.aws("greengrassv2", "list-effective-deployments", "--core-device-thing-name", thing)[
            "effectiveDeployments"]

    def await_deployment(self, thing: str, deployment_id: str, *statuses: str, deadline: float = DEADLINE) -> dict:
        """Waits until the core's execution of a deployment has one of the statuses."""
        wanted = statuses or ("COMPLETED", "SUCCEEDED")

        def seen() -> Any:
            for row in self.effective(thing):
                if row["deploymentId"] == deployment_id:
                    if row["coreDeviceExecutionStatus"] in wanted:
                        return row
                    terminal = {"FAILED", "REJECTED", "CANCELED", "TIMED_OUT", "COMPLETED", "SUCCEEDED"}
                    if row["coreDeviceExecutionStatus"] in terminal:
                        raise RuntimeError(f"deployment ended otherwise: {row}")
                    raise AssertionError(row)
            raise AssertionError("not yet an effective deployment")
        return wait_for(f"deployment {deployment_id} on {thing} to be {wanted}", seen, deadline)

    def installed(self, thing: str, *options: str) -> dict[str, dict[str, Any]]:
        rows = self.aws("greengrassv2", "list-installed-components", "--core-device-thing-name", thing, *options)
        return {row["componentName"]: row for row in rows["installedComponents"]}


class Core:
    """One `sward core` on a root that `sward device create` made."""

    def __init__(self, cloud: Cloud, name: str, *groups: str, create: bool = True):
        self.cloud, self.name = cloud, name
        self.root = cloud.folder / "devices" / name
        self.starts = 0
        self.program: Program | None = None
        if create:
            options = [part for group in groups for part in ("--group", group)]
            done = subprocess.run(
                [str(BIN), "device", "create", name, *options, "--root", str(self.root),
                 "--data-dir", str(cloud.data)],
                capture_output=True, text=True, timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *inside: str) -> "Core":
        """Starts it, by the command in `inside` (say, of a container) if there is one."""
        self.starts += 1
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.program = Program(
            f"{self.name}-{self.starts}", [*inside, str(BIN), "core", "--root", str(self.root)],
            self.cloud.folder, env=env,
        )
        return self

    def stop(self, deadline: float = 20) -> int:
        assert self.program
        return self.program.stop(deadline=deadline)

    def kill(self) -> None:
        assert self.program
        self.program.kill()

    def log(self, component: str) -> str:
        path = self.root / "logs" / f"{component}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def await_log(self, component: str, text: str, deadline: float = DEADLINE) -> None:
        def seen() -> bool:
            log = self.log(component)
            assert text in log, log[-2000:] or f"no log of {component}"
            return True
        wait_for(f"{text!r} in the log of {component} on {self.name}", seen, deadline)

    def await_healthy(self) -> dict[str, Any]:
        def seen() -> Any:
            device = self.cloud.aws("greengrassv2", "get-core-device", "--core-device-thing-name", self.name)
            assert device["status"] == "HEALTHY", device
            return device
        return wait_for(f"{self.name} to be HEALTHY", seen)

    def cli(self, *args: str, ok: bool = True) -> str:
        """Runs the greengrass-cli that the core linked into its root."""
        done = subprocess.run(
            [str(self.root / "bin" / "greengrass-cli"), "--ggcRootPath", str(self.root), *args],
            capture_output=True, text=True, timeout=60,
        )
        if ok and done.returncode != 0:
            raise CommandFailed(list(args), done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def processes(self) -> list[tuple[int, str]]:
        """Every process that carries this core's root in its environment or command line."""
        return processes_of(self.root)


def processes_of(folder: pathlib.Path) -> list[tuple[int, str]]:
    """Processes whose working directory, command or environment names the folder."""
    found = []
    needle = str(folder).encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            place = os.readlink(entry / "cwd").encode()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if command and (needle in command or place.startswith(needle) or needle in environment):
            found.append((int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()))
    return found


def assert_nothing_left(folder: pathlib.Path) -> None:
    wait_for(f"no process of {folder} to be left", lambda: not processes_of(folder) or
             (_ for _ in ()).throw(AssertionError(processes_of(folder))), 10)


def clean(folder: pathlib.Path) -> None:
    for pid, _ in processes_of(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if not os.environ.get("SWARD_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)


def recipe(name: str, version: str, run: str, *, configuration: dict[str, Any] | None = None,
           artifacts: list[dict[str, Any]] | None = None, dependencies: dict[str, Any] | None = None,
           lifecycle: dict[str, Any] | None = None) -> dict[str, Any]:
    """A recipe in JSON form with one Linux manifest."""
    document: dict[str, Any] = {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentPublisher": "Tests", "ComponentDescription": f"{name} of the tests",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": lifecycle or {"run": run}}],
    }
    if configuration is not None:
        document["ComponentConfiguration"] = {"DefaultConfiguration": configuration}
    if artifacts:
        document["Manifests"][0]["Artifacts"] = artifacts
    if dependencies:
        document["ComponentDependencies"] = dependencies
    return document


if __name__ == "__main__":
    sys.exit("a library of the tests; run `make test`")
