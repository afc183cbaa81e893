#!/usr/bin/env python3
"""Checks the dependencies between our crates against the house drawn in ARCHITECTURE.md.

A crate may import crates of lower floors freely; on its own floor only what the table between
the `arrows` markers allows. Edge and cloud never import each other. Development dependencies are
held to the same rule, except that tests may use the client of what they serve.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOORS = {"shared": 0, "base": 1, "edge": 2, "cloud": 2, "tools": 3, "sward": 3, "bench": 3}


def floor_of(manifest: pathlib.Path) -> tuple[int, str]:
    parts = manifest.relative_to(ROOT).parts
    room = parts[1] if parts[0] == "crates" else parts[0]
    return FLOORS[room], room


def allowed_arrows() -> dict[str, set[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text.split("<!-- arrows:begin -->")[1].split("<!-- arrows:end -->")[0]
    arrows: dict[str, set[str]] = {}
    for source, targets in re.findall(r"^\| (sward-\S+) \| (sward-.*?) \|$", table, re.M):
        arrows[source] = {name.strip() for name in targets.split(",")}
    return arrows


def main() -> int:
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
    )
    places = {p["name"]: floor_of(pathlib.Path(p["manifest_path"])) for p in metadata["packages"]}
    allowed = allowed_arrows()
    faults = []
    for package in metadata["packages"]:
        source = package["name"]
        floor, room = places[source]
        for dependency in package["dependencies"]:
            target = dependency["name"]
            if target not in places:
                continue
            target_floor, target_room = places[target]
            if dependency["kind"] == "dev" and target_floor <= floor and {room, target_room} != {"edge", "cloud"}:
                continue
            if {room, target_room} == {"edge", "cloud"}:
                faults.append(f"{source} -> {target}: edge and cloud never import each other")
            elif target_floor > floor:
                faults.append(f"{source} -> {target}: an arrow that runs up")
            elif target_floor == floor and target not in allowed.get(source, set()):
                faults.append(f"{source} -> {target}: not in the list of allowed arrows of ARCHITECTURE.md")
    for source, targets in allowed.items():
        for name in {source, *targets} - places.keys():
            faults.append(f"{name}: stands in ARCHITECTURE.md and is no crate")
    print("\n".join(faults) if faults else f"{len(places)} crates, every arrow allowed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
