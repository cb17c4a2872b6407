"""Processes that may have only so much memory more."""

import resource
from pathlib import Path

FRUGAL = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What is freed goes back to the system, and threads reserve nothing of their own."""


def limit(mebibytes: int) -> None:
    """What can be written to, beside what there is: code, and addresses that are only reserved, do not count."""
    kilobytes = next(
        row.split()[1] for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmData:")
    )
    resource.setrlimit(resource.RLIMIT_DATA, (int(kilobytes) * 1024 + mebibytes * 2**20, resource.RLIM_INFINITY))
