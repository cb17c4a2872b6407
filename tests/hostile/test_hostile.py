"""Loading never runs code: hostile files are refused with a reason, at once, in little memory, and nothing is touched."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hostile.cases import CASES

SECONDS = 1.0
"""Of processor, beyond the start of the process."""


def tried(folder):
    """What came of every case, all in one process of its own: by format and name."""
    script = Path(__file__).with_name("trying.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=500,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "canary").read_text() == "alive"
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(one["format"], one["name"]): one for one in found}


def faults(case, found):
    """All that is wrong with how a case ended."""
    line = found["said"].splitlines()[-1] if found["said"].strip() else ""
    if found["status"] != 1 or not line.startswith("error: ") or "defect" in line or "Traceback" in found["said"]:
        yield f"ended with {found['status']}: {found['said'][-300:]}"
    elif not re.search(case.says, line) or not line.isprintable() or len(line) > 1000:
        yield f"said {line[:300]!r}, not {case.says!r}"
    if found["cpu"] > SECONDS or found["seconds"] > 10 * SECONDS:
        yield f"took {found['cpu']:.2f} s of processor in {found['seconds']:.2f} s"
    if found["rise"] > case.memory:
        yield f"took {found['rise'] / 2**20:.0f} MiB"
    if found["events"] or found["harmed"] or found["left"] or found["made"]:
        yield f"did {found['events'][:3]}, left {found['left']}, harmed {found['harmed']}, wrote {found['made']}"


def test_every_hostile_file_is_refused_in_a_line_within_a_second_and_nothing_is_touched(tmp_path):
    found, wrong = tried(tmp_path), {}
    for case in CASES:
        if told := list(faults(case, found[case.format, case.name])):
            wrong[f"{case.format}: {case.name}"] = told
    assert not wrong, json.dumps(wrong, indent=1)


def test_no_case_stands_twice_and_pickles_are_tried_wherever_a_file_is_read():
    assert max(Counter((case.format, case.name) for case in CASES).values()) == 1
    commands = {case.do[0] for case in CASES}
    assert commands >= {
        "info",
        "sample",
        "train",
        "replay",
        "evaluate",
        "compare",
        "doctor",
        "data",
        "@checkpoint",
        "@unpack",
    }
