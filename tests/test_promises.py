"""What docs/promises.md says is held by a test is held by one that is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"


def shown(text):
    """The page without comments."""
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def named(text):
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown(text))


def defined(path):
    """The names of the functions of a file."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_is_there():
    found = named(PAGE.read_text())
    assert len(found) > 60 and len(set(found)) > 50
    lacking = [f"{file}::{name}" for file, name in found
               if not (ROOT / file).is_file() or name not in defined(ROOT / file) or not name.startswith("test_")]  # fmt: skip
    assert lacking == []


def test_every_promise_names_a_test():
    rows = [line for line in shown(PAGE.read_text()).splitlines() if line.startswith("|")]
    promises = [row for row in rows if not re.match(r"\| (promise|---)", row)]
    assert len(promises) > 30
    for row in promises:
        promise, held, *rest = [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
        assert promise and named(held) and len(rest) == 1, row


def test_a_test_that_is_gone_would_be_missed():
    assert named("`tests/nowhere.py::test_x` <!-- `tests/a.py::test_y` -->") == [("tests/nowhere.py", "test_x")]
    assert "test_every_promise_names_a_test" in defined(Path(__file__))
