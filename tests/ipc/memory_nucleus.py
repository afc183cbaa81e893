"""A nucleus that exists in memory only, for AWS's own client to speak to over a real socket.

The program is the example memory_nucleus of sward-ipc-server: the whole IPC server with ports that
keep everything in maps. SWARD_TARGET_DIR names the folder of built programs, else target/debug.
"""

import json
import os
import pathlib
import subprocess

import awsiot.greengrasscoreipc
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("SWARD_TARGET_DIR", ROOT / "target" / "debug"))

FRIEND = "com.example.Friend"
STRANGER = "com.example.Stranger"
STREAM_MANAGER = "aws.greengrass.StreamManager"

CONFIGURATIONS = {
    FRIEND: {
        "greeting": "hello",
        "nested": {"integer": 1, "double": 1.0, "list": [1, None, {"a": "b"}]},
        "accessControl": {
            "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}},
            "aws.greengrass.ipc.mqttproxy": {
                "m": {"operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
                      "resources": ["allowed/#", "refused/topic"]}},
            "aws.greengrass.Cli": {"c": {"operations": ["*"], "resources": ["*"]}},
        },
    },
    STRANGER: {"own": 1},
    STREAM_MANAGER: {},
}


class Nucleus:
    """The running program, and clients of its components."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        program = TARGET / "examples" / "memory_nucleus"
        assert program.exists(), f"{program} is missing: cargo build --examples -p sward-ipc-server"
        self.process = subprocess.Popen([program, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(CONFIGURATIONS))
        self.process.stdin.close()
        ready = json.loads(self.process.stdout.readline())
        self.socket, self.tokens = ready["socket"], ready["tokens"]
        self.clients: list[GreengrassCoreIPCClientV2] = []

    def connect(self, token: str) -> GreengrassCoreIPCClientV2:
        connection = awsiot.greengrasscoreipc.connect(ipc_socket=self.socket, authtoken=token, timeout=10)
        client = GreengrassCoreIPCClientV2(client=connection)
        self.clients.append(client)
        return client

    def client(self, component: str) -> GreengrassCoreIPCClientV2:
        return self.connect(self.tokens[component])

    def cli(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs greengrass-cli, which is the all-in-one program under another name."""
        program = self.root / "greengrass-cli"
        if not program.exists():
            target = os.environ.get("SWARD_CLI") or os.environ.get("SWARD_BIN") or TARGET / "sward"
            program.symlink_to(pathlib.Path(target).resolve())
        return subprocess.run([program, "--ggcRootPath", self.root, *arguments],
                              capture_output=True, text=True, timeout=30)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.process.terminate()
        assert self.process.wait(timeout=10) == 0
