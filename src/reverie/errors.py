"""The errors that a user sees: what was wrong, and what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class ReverieError(Exception):
    """One clear line for the person at the keyboard; the command line prints it without a traceback and fails."""


class ReverieWarning(UserWarning):
    """One clear line for the same person where all goes on, but not as asked; the command line prints it plainly."""


class MissingDependency(ReverieError):
    """Something optional that is not installed; the message holds the command that installs it."""


def printable(text: str) -> str:
    """Text from a file that may be hostile, without what would move the cursor of a terminal or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def some(names: Sequence[str], most: int = 6) -> str:
    """The first few, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> ReverieError:
    """The error for a name that nobody knows, with the nearest one that somebody does."""
    names = sorted(known)
    near = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    guess = next((n for n in names if near and n.lower() == near[0]), None)
    question = f" Did you mean {guess!r}?" if guess else ""
    listed = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return ReverieError(f"unknown {kind} {name!r}.{question} Known: {listed}.{' ' + hint if hint else ''}")
