"""Checks docs/compatibility.md: every feature F001 to F311 once, with a state; every part linked."""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
STATES = {"works", "partial", "missing"}
LAST = 311


def faults() -> list[str]:
    text = (DOCS / "compatibility.md").read_text()
    found: list[str] = []
    counts = dict.fromkeys(STATES, 0)
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not re.match(r"\|\s*F\d", line):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 4:
            found.append(f"line {number}: {len(cells)} cells in place of 4")
            continue
        feature, name, state, note = cells
        if feature in seen:
            found.append(f"line {number}: {feature} stands on line {seen[feature]} already")
        seen[feature] = number
        if not name:
            found.append(f"line {number}: {feature} has no name")
        if state not in STATES:
            found.append(f"line {number}: {feature} is '{state}', not one of {sorted(STATES)}")
            continue
        counts[state] += 1
        if state == "partial" and not note:
            found.append(f"line {number}: {feature} is partial and does not say how")
    wanted = {f"F{number:03}" for number in range(1, LAST + 1)}
    found += [f"{feature} is missing" for feature in sorted(wanted - seen.keys())]
    found += [f"{feature} is no feature" for feature in sorted(seen.keys() - wanted)]
    summary = (f"Of {LAST} features, {counts['works']} work, {counts['partial']} are partial and "
               f"{counts['missing']} are missing.")
    if summary not in " ".join(text.split()):
        found.append(f"the summary should read: {summary}")
    for part in sorted((DOCS / "compatibility.d").glob("*.md")):
        if f"(compatibility.d/{part.name})" not in text:
            found.append(f"compatibility.d/{part.name} is not linked")
    found += [f"{link} does not exist" for link in re.findall(r"\((compatibility\.d/[^)]+)\)", text)
              if not (DOCS / link).exists()]
    return found


if __name__ == "__main__":
    lines = faults()
    for line in lines:
        print(f"docs/compatibility.md: {line}", file=sys.stderr)
    sys.exit(bool(lines))
