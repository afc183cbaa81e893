"""A gateway with two clients who may do everything, for each test."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import gateway_testkit as kit  # noqa: E402


@pytest.fixture
def gateway(tmp_path, request):
    gateway = kit.Gateway(tmp_path)
    gateway.let_in("core1")
    gateway.let_in("app1")
    yield gateway.start()
    gateway.stop()
    report = getattr(request.node, "report_of_call", None)
    if report is not None and report.failed:
        print(gateway.log()[-8000:])
