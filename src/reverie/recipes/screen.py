"""What a person at the terminal is told."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
