"""How long until something happens, from the shell: python -m benchmarks.startup

Medians of several runs each, in turn: the help, what `import reverie` adds to `import torch`, and one sample of the 28x28
model that ships. Writes docs/startup.json, which `benchmarks.performance` shows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

OUT = Path(__file__).parent.parent / "docs" / "startup.json"
BARS = {"reverie --help": 0.5, "import reverie, beyond import torch": 0.3, "the first sample": 4.0}
"""Seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    command = [sys.executable, "-m", "reverie"]
    found: dict[str, list[float]] = {name: [] for name in BARS}
    with tempfile.TemporaryDirectory() as place:
        seconds([*command, "--help"])  # files into the system's memory
        for i in range(given.runs):
            found["reverie --help"].append(seconds([*command, "--help"]))
            alone, both = (seconds([sys.executable, "-c", code]) for code in ("import torch", "import torch, reverie"))
            found["import reverie, beyond import torch"].append(both - alone)
            sample = [*command, "sample", "fashion_mnist", "-n", "1", "--out", f"{place}/{i}"]
            found["the first sample"].append(seconds(sample))
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(table(found)))


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def table(found: dict[str, list[float]]) -> list[str]:
    rows = ["| | seconds | least to greatest | asked for |", "| --- | --- | --- | --- |"]
    for name, each in found.items():
        bar = f"under {BARS[name]:g}" + ("" if median(each) < BARS[name] else ": **not reached**")
        rows.append(f"| {name} | {median(each):.2f} | {min(each):.2f} to {max(each):.2f} | {bar} |")
    return rows


if __name__ == "__main__":
    main()
