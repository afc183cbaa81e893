"""The gateway beside mosquitto: throughput, broker CPU and memory, over mutual TLS, as one JSON document.

    cargo build --release -p sward-gateway --examples
    .venv/bin/python bench/mqtt.py [--quick]

Every figure is a median of three runs (one with --quick). Policies are enforced on every message of
the gateway; mosquitto has none. `durable` is the gateway with a store that is flushed to the disk
before a QoS 1 message for a persistent session is acknowledged; mosquitto keeps such sessions in
memory (its autosave is off).
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
QUICK = "--quick" in sys.argv
RUNS = 1 if QUICK else 3
SCALE = 0.2 if QUICK else 1.0

CASES = [
    ("qos0_1_to_1", ["--qos", "0", "--messages", str(int(300_000 * SCALE))]),
    ("qos1_1_to_1", ["--qos", "1", "--messages", str(int(150_000 * SCALE))]),
    ("qos0_1_to_50", ["--qos", "0", "--messages", str(int(10_000 * SCALE)), "--subscribers", "50"]),
    ("qos1_1_to_50", ["--qos", "1", "--messages", str(int(6_000 * SCALE)), "--subscribers", "50"]),
    ("qos1_1_to_1_persistent", ["--qos", "1", "--messages", str(int(50_000 * SCALE)), "--persistent"]),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Broker:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder

    def __enter__(self):
        environment = os.environ | {"RUST_LOG": "off"}
        certificates = self.folder / "certificates"
        if self.name == "mosquitto":
            port = 18883
            config = self.folder / "mosquitto.conf"
            config.write_text(
                f"listener {port} 127.0.0.1\ncafile {certificates}/ca.pem\ncertfile {certificates}/server.cert.pem\n"
                f"keyfile {certificates}/server.key.pem\nrequire_certificate true\nallow_anonymous true\n"
                "max_inflight_messages 100\nmax_queued_messages 100000\nset_tcp_nodelay true\nuser root\n"
                "log_type none\n")
            self.process = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
            time.sleep(1)
            self.port, self.ca = port, certificates / "ca.pem"
            return self
        folder = certificates if self.name == "sward" else self.folder / "durable"
        if folder != certificates:
            subprocess.run(["cp", "-r", certificates, folder], check=True)
        more = [] if self.name == "sward_durable" else ["--ephemeral"]
        log = open(self.folder / f"{self.name}.out", "wb")
        self.process = subprocess.Popen([EXAMPLES / "standalone", "--dir", folder, *more],
                                        stdout=subprocess.PIPE, stderr=log, env=environment)
        self.port, self.ca = json.loads(self.process.stdout.readline())["mqtt"], folder / "ca.pem"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def load(self, *options):
        certificates = self.folder / "certificates"
        command = [EXAMPLES / "mqtt_load", "--port", str(self.port), "--ca", self.ca, "--cert", certificates / "bench.cert.pem",
                   "--key", certificates / "bench.key.pem", "--pid", str(self.process.pid), *options]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sward-bench-mqtt-"))
    certificates = folder / "certificates"
    certificates.mkdir()
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}
    (certificates / "clients.json").write_text(json.dumps({"bench": {"policy": allow}}))
    # The first start makes the CA and the client's certificate.
    first = subprocess.Popen([EXAMPLES / "standalone", "--dir", certificates, "--ephemeral"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    first.stdout.readline()
    first.terminate()
    first.wait(10)
    run = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=certificates)  # noqa: E731
    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key.pem",
        "-out", "server.csr", "-subj", "/CN=localhost")
    (certificates / "san").write_text("subjectAltName=DNS:localhost")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key.pem", "-CAcreateserial", "-out", "server.cert.pem",
        "-days", "2", "-extfile", "san")
    result = {}
    for name in ("sward", "sward_durable", "mosquitto"):
        result[name] = {}
        for case, options in CASES:
            if name == "sward_durable" and not case.endswith("persistent"):
                continue
            runs = []
            for _ in range(RUNS):
                with Broker(name, folder) as broker:
                    runs.append(broker.load(*options))
                subprocess.run(["rm", "-rf", folder / "durable"], check=True)
            result[name][case] = {
                key: statistics.median(run[key] for run in runs)
                for key in ("messages_per_second", "broker_cpu_seconds", "broker_cpu_us_per_delivery")
            }
            say(f"{name} {case}: {result[name][case]}")
        if name != "sward_durable":
            with Broker(name, folder) as broker:
                result[name]["idle"] = broker.load("--idle", "200" if QUICK else "1000")
            say(f"{name} idle: {result[name]['idle']}")
    subprocess.run(["rm", "-rf", folder], check=True)
    print(json.dumps(result, indent=2))


main()
