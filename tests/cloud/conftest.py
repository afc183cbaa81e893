"""A cloud alone for each test: what the AWS clients see of it without any device."""

import os
import pathlib
import subprocess

import pytest

import sward_testkit as kit


class BareCloud(kit.Cloud):
    """Like the stories' cloud, but finds its environment by the files alone."""

    def env(self) -> dict[str, str]:
        if self._env is None:
            base = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
            where = self.endpoints()
            self._env = base | {
                "AWS_ENDPOINT_URL": where["api"],
                "AWS_SHARED_CREDENTIALS_FILE": str(self.data / "credentials"),
                "AWS_REGION": where["region"],
                "AWS_DEFAULT_REGION": where["region"],
                "AWS_PAGER": "",
                "AWS_MAX_ATTEMPTS": "1",
            }
        return self._env

    def session(self) -> "object":
        import boto3

        lines = (self.data / "credentials").read_text().splitlines()
        keys = dict(line.split(" = ", 1) for line in lines if " = " in line)
        return boto3.Session(region_name=self.endpoints()["region"], **keys)

    def client(self, service: str, **options: object) -> "object":
        from botocore.config import Config

        options.setdefault("config", Config(retries={"total_max_attempts": 1}))
        options.setdefault("endpoint_url", self.endpoints()["api"])
        return self.session().client(service, **options)


@pytest.fixture(scope="module")
def aws_cloud():
    """One cloud for all tests of a module, each with names of its own."""
    folder = kit.new_folder()
    cloud = BareCloud(folder).start()
    yield cloud
    assert cloud.stop() == 0
    kit.clean(folder)


@pytest.fixture
def bucket(aws_cloud, request):
    """A fresh bucket named after the test."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "").lower()[:60].strip("-")
    aws_cloud.client("s3").create_bucket(Bucket=name)
    return name


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


ROOT = pathlib.Path(__file__).resolve().parents[2]
