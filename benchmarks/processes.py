"""Contenders that wait for their turn, each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


class Process:
    """Answers each line of its standard input with a line of JSON."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)  # fmt: skip

    def ask(self, line: str) -> Any:
        assert self.running.stdin and self.running.stdout
        try:
            self.running.stdin.write(line + "\n")
            self.running.stdin.flush()
            return json.loads(self.running.stdout.readline())
        except (OSError, ValueError):
            self.end()
            sys.exit(f"{self.name} failed at {line}")

    def end(self) -> None:
        self.running.kill()
        with suppress(BrokenPipeError):  # what was not yet written to it
            self.running.communicate()
