"""Figures of the walking skeleton beside their budgets, as JSON.

Everything is measured from outside, on the programs a user runs: memory as PSS from
/proc/PID/smaps_rollup, start from exec to the first accepted IPC connection and to the session at
the broker, a deployment from the API call to RUNNING as the cloud reports it, and IPC by the load
client of bench/ipc, which needs only the two environment variables that every component gets.
Medians of several runs; shared machines are noisy, so read orders of magnitude and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("SWARD_BIN", str(ROOT / "target/release/sward"))
sys.path.insert(0, str(ROOT / "tests"))

import sward_testkit as kit  # noqa: E402

CORE = ROOT / "target/edge/sward-core"
LOAD = ROOT / "target/release/sward-bench-ipc"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pss_kib(pid: int) -> int:
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"no PSS of {pid}")


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def written_bytes(pid: int) -> int:
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


class EdgeCore(kit.Core):
    """The small binary in place of the all-in-one one."""

    def start(self) -> "EdgeCore":
        self.starts += 1
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.program = kit.Program(f"{self.name}-{self.starts}", [str(CORE), "--root", str(self.root)],
                                   self.cloud.folder, env=env)
        return self

    @property
    def pid(self) -> int:
        assert self.program
        return self.program.process.pid


def ipc_accepts(path: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            return True
        except OSError:
            return False


def until(check, deadline: float = 30.0) -> float:
    """Seconds until check is true, looking every half millisecond."""
    begin = time.perf_counter()
    while not check():
        if time.perf_counter() - begin > deadline:
            raise TimeoutError
        time.sleep(0.0005)
    return time.perf_counter() - begin


def core_starts(cloud: kit.Cloud, core: EdgeCore, runs: int) -> dict:
    ready, connected = [], []
    log = core.root / "logs" / "greengrass.log"
    for _ in range(runs):
        size = log.stat().st_size if log.exists() else 0
        begin = time.perf_counter()
        core.start()
        until(lambda: ipc_accepts(core.root / "ipc.socket"))
        ready.append(time.perf_counter() - begin)

        def at_the_broker() -> bool:
            with open(log, "rb") as file:
                file.seek(size)
                return b"connected to the broker" in file.read()
        until(at_the_broker)
        connected.append(time.perf_counter() - begin)
        core.stop()
    return {"ipc_ready_ms": round(statistics.median(ready) * 1000, 1),
            "connected_ms": round(statistics.median(connected) * 1000, 1), "runs": runs}


def deployments(cloud: kit.Cloud, core: EdgeCore, runs: int) -> dict:
    gg = cloud.boto3("greengrassv2")
    running, noop, written = [], [], []
    for number in range(runs + 1):
        document = kit.recipe("com.example.Small", f"1.0.{number}", "exec sleep 100000")
        gg.create_component_version(inlineRecipe=json.dumps(document).encode())

    def status(deployment: str) -> str | None:
        rows = gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"]
        return next((r["coreDeviceExecutionStatus"] for r in rows if r["deploymentId"] == deployment), None)

    def deploy(version: str) -> tuple[float, float]:
        begin = time.perf_counter()
        deployment = gg.create_deployment(targetArn=cloud.thing_arn(core.name), components={
            "com.example.Small": {"componentVersion": version}})["deploymentId"]
        while status(deployment) != "COMPLETED":
            pass
        done = time.perf_counter() - begin
        while True:
            rows = gg.list_installed_components(coreDeviceThingName=core.name)["installedComponents"]
            row = next((r for r in rows if r["componentName"] == "com.example.Small"), None)
            if row and row["componentVersion"] == version and row["lifecycleState"] == "RUNNING":
                return done, time.perf_counter() - begin

    deploy("1.0.0")
    for number in range(1, runs + 1):
        before = written_bytes(core.pid)
        running.append(deploy(f"1.0.{number}")[1])
        written.append(written_bytes(core.pid) - before)
        noop.append(deploy(f"1.0.{number}")[0])
    return {"create_to_running_and_reported_ms": round(statistics.median(running) * 1000),
            "no_op_ms": round(statistics.median(noop) * 1000),
            "written_on_device_kib": round(statistics.median(written) / 1024), "runs": runs}


def ipc(core: EdgeCore, quick: bool) -> dict:
    auth = next((core.root / "cli_ipc_info").iterdir())
    token = json.loads(auth.read_text())["cli_auth_token"]
    env = {**os.environ, "SVCUID": token,
           "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(core.root / "ipc.socket")}
    command = [str(LOAD), "--server-pid", str(core.pid), *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    quick = parser.parse_args().quick
    runs = 3 if quick else 7
    folder = kit.new_folder()
    figures: dict = {"machine": {"cpus": os.cpu_count()}}
    try:
        say("cloud")
        begin = time.perf_counter()
        cloud = kit.Cloud(folder).start()
        figures["cloud"] = {"first_start_to_ready_ms": round((time.perf_counter() - begin) * 1000)}
        cloud.stop()
        begin = time.perf_counter()
        cloud.start()
        figures["cloud"]["start_to_ready_ms"] = round((time.perf_counter() - begin) * 1000)
        core = EdgeCore(cloud, "core1")
        say("core: binary and starts")
        figures["core"] = {"binary_mib": round(CORE.stat().st_size / 2**20, 2),
                           "shared_libraries": shared_libraries(CORE)}
        core.start()
        core.await_healthy()
        core.stop()
        figures["core"]["start"] = core_starts(cloud, core, runs)
        say("core: idle memory")
        core.start()
        core.await_healthy()
        time.sleep(3)  # let start-up settle: the figure is the idle one
        figures["core"]["idle_pss_kib"] = pss_kib(core.pid)
        assert cloud.program
        figures["cloud"]["idle_pss_kib"] = pss_kib(cloud.program.process.pid)
        before = cpu_seconds(core.pid)
        time.sleep(5)
        figures["core"]["idle_cpu_ms_per_minute"] = round((cpu_seconds(core.pid) - before) * 12000)
        say("deployments")
        figures["deployment"] = deployments(cloud, core, runs)
        figures["core"]["pss_after_deployments_kib"] = pss_kib(core.pid)
        say("IPC")
        figures["ipc"] = ipc(core, quick)
        figures["core"]["pss_after_ipc_load_kib"] = pss_kib(core.pid)
        core.stop()
        cloud.stop()
    finally:
        kit.clean(folder)
    print(json.dumps(figures, indent=2))


def shared_libraries(binary: pathlib.Path) -> list[str]:
    if not shutil.which("ldd"):
        return []
    out = subprocess.run(["ldd", str(binary)], capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines() if "=>" in line]


if __name__ == "__main__":
    main()
