"""What becomes of a cloud whose files are not what they were."""

import subprocess

import pytest
import sward_testkit as kit


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_a_lost_database_is_told_and_not_made_anew(cloud, damage):
    """A new one would come with a new authority, and no device of the old cloud could connect."""
    authority = cloud.ca.read_text()
    assert cloud.stop() == 0
    database = cloud.data / "sward.db"
    database.unlink()
    if damage == "empty":
        database.touch()

    command = [str(kit.BIN), "cloud", "--data-dir", str(cloud.data), *cloud.ports]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert f"its database is {damage}" in refused.stderr
    assert str(database) in refused.stderr and "restore it from a backup" in refused.stderr
    assert cloud.ca.read_text() == authority

    # The help is right: without the authority's file a new cloud begins.
    cloud.ca.unlink()
    cloud.start()
    assert cloud.ca.read_text() != authority


def test_a_throw_away_cloud_leaves_nothing(folder):
    data = folder / "cloud"
    command = [str(kit.BIN), "cloud", "--ephemeral", "--data-dir", str(data),
               "--api-port", "0", "--device-port", "0", "--mqtt-port", "0"]
    program = kit.Program("ephemeral", command, folder)
    program.expect("sward cloud ready")
    assert (data / "ca.pem").exists()
    assert program.stop() == 0
    left = {path.name for path in data.iterdir()}
    assert not left & {"ca.pem", "credentials", "endpoints.json", "sward.db"}, left
    assert not [name for name in left if name.startswith("ephemeral-")], left
