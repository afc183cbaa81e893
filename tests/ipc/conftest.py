"""Fixtures: a nucleus in memory, and clients of two of its components."""

import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from memory_nucleus import FRIEND, STRANGER, Nucleus  # noqa: E402


@pytest.fixture(scope="module")
def nucleus():
    # Not pytest's folder: its path may be too long for a socket of these clients.
    root = pathlib.Path(tempfile.mkdtemp(prefix="sward-ipc-"))
    running = Nucleus(root)
    yield running
    running.stop()
    shutil.rmtree(root)


@pytest.fixture
def friend(nucleus):
    return nucleus.client(FRIEND)


@pytest.fixture
def stranger(nucleus):
    return nucleus.client(STRANGER)
