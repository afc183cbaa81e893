"""Fixtures of the replays: one cloud for the conversations that leave it alone, own ones for others."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import device as devices  # noqa: E402
import golden  # noqa: E402
import sward_testkit as kit  # noqa: E402

if not golden.FOLDER.is_dir():
    print(f"tests/wire is passed over: the captures are not at {golden.FOLDER}")
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def wire_cloud():
    """One cloud for many devices; each conversation has a thing and groups of its own."""
    folder = kit.new_folder()
    cloud = devices.WireCloud(folder).start()
    yield cloud
    assert cloud.stop() == 0
    kit.clean(folder)


@pytest.fixture
def own_cloud(folder):
    """A cloud that the conversation kills."""
    return devices.WireCloud(folder).start()
