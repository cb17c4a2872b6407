"""The dependency rule, as a test: a package imports only from rows above its own."""

import ast
from pathlib import Path

import pytest

ROWS = {
    **dict.fromkeys(["errors", "deprecation", "reading", "headers", "files", "discover"], 0),
    "core": 1,
    **dict.fromkeys(["samplers", "guidance", "nn"], 2),
    **dict.fromkeys(["posterior", "codecs", "conditioning", "features", "data"], 3),
    **dict.fromkeys(["metrics", "training"], 4),
    "modalities": 5,
    "systems": 6,
    **dict.fromkeys(["editing", "hub"], 7),
    "recipes": 8,
    **dict.fromkeys(["doctor", "comparison"], 9),
    **dict.fromkeys(["cli", "web"], 10),
    "__main__": 11,
}
ALONE = {"nn": {"errors", "deprecation", "discover"}, "core": {"deprecation"}}
"""Packages that know less than their row would let them: `nn` does not know `core`, `core` knows torch."""
ROOT = Path(__file__).parent.parent / "src" / "reverie"
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imported(source, here):
    """The packages of reverie that a module imports, wherever in it; `here` is its dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = here.split(".")[: -node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("reverie."))


def climbs(source, here):
    own = here.split(".")[1]
    return [
        there
        for there in imported(source, here)
        if (there != own and there in ROWS and (ROWS[there] > ROWS[own] or ROWS[there] == ROWS[own] > 0))
        or (there != own and own in ALONE and there in ROWS and there not in ALONE[own])
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_up(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    assert parts[1] in ROWS, f"{path} belongs to no row: give its package one"
    assert climbs(path.read_text(), ".".join(parts)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import reverie.posterior.dps",
        "from reverie import guidance",
        "from reverie.guidance.extrapolation import CFGpp",
        "from .. import guidance",
        "from ..posterior.dps import DPS",
        "def late():\n    from ..guidance import extrapolation",
        "class Late:\n    import reverie.guidance",
    ],
)
def test_the_rule_sees_every_kind_of_import(source):
    assert climbs(source, "reverie.samplers.heun")
    assert climbs("from ..core import grids\nfrom .base import Sampler", "reverie.samplers.heun") == []
    assert climbs("from ..core import grids", "reverie.nn.unet")


def calls_of_torch_load(tree):
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("torch.load", "load")
        and "torch" in ast.unparse(node.func)
    ]


def test_pickle_is_never_imported_and_torch_load_stands_in_one_place_with_weights_only():
    places = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = {name.split(".")[0] for name in names}
            assert not names & {"pickle", "cloudpickle", "dill", "shelve", "joblib", "marshal"}, path
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                assert "load" not in {alias.name for alias in node.names}, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert "allow_pickle=False" in ast.unparse(node), path
        for call in calls_of_torch_load(tree):
            assert "weights_only=True" in ast.unparse(call), path
            places.append(path.parent.name)
    assert places in ([], ["data"]), places


def test_accelerate_is_imported_by_training_alone():
    users = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "accelerate" for name in names):
                users.add(path.relative_to(ROOT).parts[0])
    assert users == {"training"}
