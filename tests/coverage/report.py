#!/usr/bin/env python3
"""Line coverage of a decoder from an lcov file, as JSON; `--join` puts several together.

Lines of `#[cfg(test)]` modules inside the sources are not counted.
"""

import json
import os
import sys

LEAST_PERCENT = 80.0


def first_test_line(path):
    """The line from which on a source holds its tests only."""
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if line.startswith("#[cfg(test)]"):
                following = next(source, "")
                if following.startswith("mod ") and following.rstrip().endswith("{"):
                    return number
    return sys.maxsize


def read(lcov):
    """Per file: line -> how often it ran."""
    files, current = {}, None
    with open(lcov, encoding="utf-8") as report:
        for line in report:
            key, _, value = line.strip().partition(":")
            if key == "SF":
                current = files.setdefault(value, {})
            elif key == "DA":
                number, count = value.split(",")[:2]
                current[int(number)] = max(current.get(int(number), 0), int(count))
    return files


def percent(covered, lines):
    return round(100.0 * covered / lines, 1) if lines else 0.0


def summarize(lcov, sources):
    root = os.getcwd()
    files = {os.path.relpath(path, root): lines for path, lines in read(lcov).items()}
    rows, total, covered = [], 0, 0
    for source in sources:
        tests_from = first_test_line(source)
        lines = {n: c for n, c in files.get(source, {}).items() if n < tests_from}
        hit = sum(1 for count in lines.values() if count)
        total, covered = total + len(lines), covered + hit
        missed = [number for number, count in sorted(lines.items()) if not count]
        rows.append(
            {
                "file": source,
                "lines": len(lines),
                "covered": hit,
                "percent": percent(hit, len(lines)),
                "missed": missed,
            }
        )
    return {
        "decoder": os.environ["NAME"],
        "inputs": int(os.environ.get("SWARD_FUZZ_ITERATIONS", 20000)),
        "seconds": int(os.environ["SECONDS_TAKEN"]),
        "lines": total,
        "covered": covered,
        "percent": percent(covered, total),
        "files": rows,
    }


def main():
    if sys.argv[1] == "--join":
        decoders = []
        for path in sys.argv[2:]:
            with open(path + ".json", encoding="utf-8") as report:
                decoders.append(json.load(report))
        for decoder in decoders:
            for row in decoder["files"]:
                row["missed"] = " ".join(map(str, row["missed"]))
        print(json.dumps({"least_percent": LEAST_PERCENT, "decoders": decoders}, indent=1))
        low = [d["decoder"] for d in decoders if d["percent"] < LEAST_PERCENT]
        if low:
            sys.exit(f"under {LEAST_PERCENT} %: {', '.join(low)}")
    else:
        print(json.dumps(summarize(sys.argv[1], sys.argv[2:])))


if __name__ == "__main__":
    main()
