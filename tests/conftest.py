"""Fixtures of the stories: a cloud and cores of their own, in a folder of their own."""

import os
import pathlib
import sys

import pytest

# botocore signs with awscrt where that is installed (the IoT Device SDK brings it), and cannot then
# read the bodies that it wraps itself for trailing checksums.
os.environ.setdefault("BOTO_DISABLE_CRT", "true")

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import sward_testkit as kit  # noqa: E402


@pytest.fixture
def folder(request):
    """A fresh folder; what is left running in it is killed, its outputs are shown on failure."""
    folder = kit.new_folder()
    yield folder
    report = getattr(request.node, "report_of_call", None)
    if report is not None and report.failed:
        for output in sorted(folder.glob("*.out")):
            print(f"---- {output.name}\n{output.read_text(errors='replace')[-6000:]}")
        for log in sorted(folder.glob("devices/*/logs/*.log")):
            print(f"---- {log.relative_to(folder)}\n{log.read_text(errors='replace')[-4000:]}")
    kit.clean(folder)


@pytest.fixture
def cloud(folder):
    """A running cloud."""
    return kit.Cloud(folder).start()


@pytest.fixture
def core(cloud):
    """A running, healthy core device named core1."""
    core = kit.Core(cloud, "core1").start()
    core.await_healthy()
    return core


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report_of_call = outcome.get_result()
