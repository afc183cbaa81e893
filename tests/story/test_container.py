"""The core as the first process of a container."""

import os
import pathlib
import signal

import sward_testkit as kit

CONTAINER = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--mount-proc"]

# Leaves a process behind that outlives its parent, and then ends.
SCRIPT = """
sh -c '(sleep 0.3; echo orphan done) &'
echo ready
exec sleep 100000
"""


def children_of(parent: int) -> list[tuple[int, str]]:
    """Pid and state of each, as `/proc/PID/stat` tells them."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(its_parent) == parent:
            found.append((int(stat.parent.name), state))
    return found


def test_a_core_that_is_the_first_process_of_a_container(cloud):
    """F001: components run and stop, orphans are collected, though our session has no number inside."""
    core = kit.Core(cloud, "core1").start(*CONTAINER)
    core.await_healthy()
    [(inside, _)] = children_of(core.program.process.pid)
    assert os.readlink(f"/proc/{inside}/ns/pid") != os.readlink("/proc/self/ns/pid")
    # The very thing that is different there: the leader of its session is outside, so it reads as 0.
    status = pathlib.Path(f"/proc/{inside}/status").read_text()
    assert [line.split()[2] for line in status.splitlines() if line.startswith("NSsid:")] == ["0"], status

    cloud.create_component(kit.recipe("com.example.Forks", "1.0.0", SCRIPT))
    deployment = cloud.deploy(cloud.thing_arn("core1"), {"com.example.Forks": {"componentVersion": "1.0.0"}})
    cloud.await_deployment("core1", deployment, "COMPLETED")
    core.await_log("com.example.Forks", "orphan done")

    def no_zombies():
        zombies = [pid for pid, state in children_of(inside) if state == "Z"]
        assert not zombies, zombies
        return True
    kit.wait_for("the orphan to be collected", no_zombies)

    deployment = cloud.deploy(cloud.thing_arn("core1"), {})
    cloud.await_deployment("core1", deployment, "COMPLETED")
    kit.wait_for("the component's processes to end", lambda: not children_of(inside))

    os.kill(inside, signal.SIGTERM)
    assert core.program.process.wait(20) == 0
    assert "panicked" not in core.program.text()
    kit.assert_nothing_left(core.root)
