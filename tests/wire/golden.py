"""The captured conversations, and how an answer of ours is held against a captured one.

The captures are beside the checkout (`../shared/golden/wire`). Ids, names, times and revisions of a
capture are not ours: `Names` says what each became, and `differences` compares the rest exactly.
"""

from __future__ import annotations

import base64
import json
import pathlib
import time
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "shared/golden/wire"

SHADOW = "AWSManagedGreengrassV2Deployment"
NAMESPACE = "namespace-aws-gg-deployment"
SECONDS = {"timestamp", "queuedAt", "lastUpdatedAt", "startedAt"}
# What a service may add to an answer without anybody noticing.
OPTIONAL = {"executionState", "clientToken", "delta", "thingName"}


def read(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    restore(events)
    return events


class Names:
    """What the names of a capture are in this test."""

    def __init__(self, account: str, region: str, thing: str, group: str):
        self.whole: dict[str, str] = {}
        self.parts = [
            ("thinggroup/G1", f"thinggroup/{group}"), ("core1", thing), ("core2", thing),
            ("us-east-1", region), ("123456789012", account),
        ]
        self.group = group

    def learn(self, captured: str, ours: str) -> None:
        self.whole[captured] = ours

    def text(self, text: str) -> str:
        if text in self.whole:
            return self.whole[text]
        if text == "G1":
            return self.group
        # A topic names its job in the middle.
        text = "/".join(self.whole.get(level, level) for level in text.split("/"))
        for captured, ours in self.parts:
            text = text.replace(captured, ours)
        return text

    def value(self, value: Any) -> Any:
        """The value with all names replaced; texts that hold JSON are looked into."""
        if isinstance(value, str):
            if value.startswith("{"):
                try:
                    return json.dumps(self.value(json.loads(value)), separators=(",", ":"))
                except json.JSONDecodeError:
                    pass
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(one) for key, one in value.items()}
        return value


def payload(event: dict[str, Any]) -> bytes:
    """The bytes of an event that carries any."""
    if event.get("trimmed") == "payloadBase64":
        return b"y" * event["payloadBytes"]
    if "payload" in event:
        return json.dumps(event["payload"], separators=(",", ":")).encode()
    return base64.b64decode(event.get("payloadBase64", ""))


def differences(expected: Any, actual: Any, place: str = "") -> list[str]:
    """Everything in which an answer is not what a capture demands."""
    key = place.rsplit(".", 1)[-1]
    if key in SECONDS:
        return [] if is_near(actual, 1) else [f"{place}: {actual!r} is not a time in whole seconds"]
    if key == "creationTimestamp":
        return [] if is_near(actual, 1000) else [f"{place}: {actual!r} is not a time in milliseconds"]
    if ".metadata" in place and isinstance(actual, list):
        # AWS writes a time for each element of a list; the capture's cloud wrote one for the list.
        return [line for one in actual for line in differences(expected, one, place)]
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = [f"{place}.{name} is missing" for name in expected if name not in actual]
        found += [f"{place}.{name} is too much: {actual[name]!r}"
                  for name in actual if name not in expected and name not in OPTIONAL]
        for name in expected:
            if name in actual:
                found += differences(expected[name], actual[name], f"{place}.{name}")
        return found
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{place}: {len(actual)} entries in place of {len(expected)}: {actual!r}"]
        return [line for index, (one, other) in enumerate(zip(expected, actual))
                for line in differences(one, other, f"{place}[{index}]")]
    if key == "fleetConfig" and isinstance(actual, str):
        return differences(json.loads(expected), json.loads(actual), place)
    if key == "message" and isinstance(actual, str) and actual:
        return []  # clients match codes, except where a test names the words
    same = type(expected) is type(actual) and expected == actual
    return [] if same else [f"{place}: {actual!r} in place of {expected!r}"]


def is_near(value: Any, scale: int) -> bool:
    return type(value) is int and abs(value / scale - time.time()) < 900


def recipes(events: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The recipes that a conversation handed out, by name and version."""
    found = {}
    for event in events:
        answer = event.get("payload")
        if event["kind"] != "http-response" or not isinstance(answer, dict):
            continue
        for row in answer.get("resolvedComponentVersions", []):
            recipe = json.loads(base64.b64decode(row["recipe"]))
            found[row["componentName"], row["componentVersion"]] = recipe
    return found


def restore(events: list[dict[str, Any]]) -> None:
    """Makes lists that a capture shortened as long as they were (`trimmed` tells the lengths)."""
    for event in events:
        words = str(event.get("trimmed", "")).split()
        if len(words) < 2:
            continue
        payload = event["payload"]
        taken = _others(events, payload)
        for name, length in zip(words[::2], words[1::2]):
            name = name.rstrip(":")
            owner = _owner(payload, name)
            owner[name] = _longer(owner[name], int(length), taken)


def _others(events: list[dict[str, Any]], payload: dict[str, Any]) -> set[str]:
    """The components in the other chunks of a fleet status."""
    if "chunkInfo" not in payload:
        return set()
    same = [event["payload"] for event in events if isinstance(event.get("payload"), dict)
            and event["payload"].get("sequenceNumber") == payload["sequenceNumber"]
            and event["payload"].get("chunkInfo", payload["chunkInfo"]) != payload["chunkInfo"]]
    return {row["componentName"] for one in same for row in one["components"] if isinstance(row, dict)}


def _owner(value: Any, name: str) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get(name), (list, dict)):
        return value
    return next((found for one in value.values() if (found := _owner(one, name)) is not None), None)


def _longer(rows: Any, length: int, taken: set[str]) -> Any:
    if isinstance(rows, dict):
        kept = {name: row for name, row in rows.items() if not name.startswith("<")}
        model = next(iter(kept))
        for name in _fillers(model):
            if len(kept) < length:
                kept.setdefault(name, kept[model])
        return kept
    kept = [row for row in rows if not (isinstance(row, str) and row.startswith("<"))]
    named = [row if isinstance(row, str) else row["componentName"] for row in kept]
    at = next(index for index, name in enumerate(named) if ".Filler" in name)
    for name in _fillers(named[at]):
        if len(kept) < length and name not in named and name not in taken:
            kept.append(name if isinstance(kept[at], str) else kept[at] | {"componentName": name})
    assert len(kept) == length, (len(kept), length)
    return kept


def _fillers(model: str) -> Any:
    """Names as those of the capture's filling components, by one of them."""
    start, rest = model.split(".Filler", 1)
    return (f"{start}.Filler{index:03}{rest[3:]}" for index in range(500))
