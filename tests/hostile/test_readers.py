"""Every place that reads a file or a text of anybody's is known, so that a new one gets its hostile files and its fuzzing."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent / "src" / "reverie"
NAMES = {"open", "eval", "exec", "compile", "load_file", "safe_open", "read_bytes", "fromstring"}
METHODS = {
    "read_text",
    "read_bytes",
    "literal_eval",
    "ZipFile",
    "TiffFile",
    "load_file",
    "fromfile",
    "fromstring",
    "memmap",
    "from_pretrained",
}
FUNCTIONS = {"os.open", "io.open", "json.load", "json.loads", "np.load", "Image.open", "tarfile.open", "gzip.open", "lzma.open",
             "bz2.open", "torch.load", "ast.parse", "path.open", "Path.open"}  # fmt: skip
PLACES: dict[str, set[str]] = {
    "cli/sampling.py": {"literal_eval"},
    "comparison/page.py": {"read_bytes"},
    "conditioning/encoders.py": {"from_pretrained"},
    "data/builtin/emoji.py": {"Image.open"},  # of a sheet whose hash is pinned
    "data/builtin/faces.py": {"Image.open", "json.loads", "read_text"},  # of a package, and of what it has just drawn
    "data/captions.py": {"json.loads"},
    "data/decoded.py": {"open", "os.open"},
    "data/degradations.py": {"Image.open"},  # of what it has just written in memory
    "data/get.py": {"gzip.open", "open"},
    "data/idx.py": {"gzip.open"},
    "data/npy.py": {"ZipFile", "np.load", "open"},
    "data/opening.py": {"open"},
    "data/pictures.py": {"Image.open"},
    "data/shards.py": {"open", "tarfile.open"},
    "data/stored.py": {"os.open", "read_text"},
    "data/tiffs.py": {"Image.open", "TiffFile"},
    "data/unpack.py": {"ZipFile", "open", "tarfile.open"},
    "data/weights.py": {"torch.load"},
    "discover.py": {"ast.parse", "literal_eval"},
    "files.py": {"load_file", "open", "os.open"},
    "cli/adapter.py": {"read_bytes"},
    "hub/base.py": {"read_bytes"},
    "hub/sharing.py": {"read_bytes"},
    "modalities/images.py": {"Image.open"},
    "reading.py": {"json.loads", "open", "read_bytes"},
    "recipes/card.py": {"read_bytes"},
    "recipes/networks.py": {"ast.parse", "literal_eval"},
    "recipes/shipping.py": {"read_bytes"},
    "training/estimate.py": {"read_text"},
    "training/logs.py": {"open", "read_bytes"},
}
"""What each file reads with: what is tried on it stands in tests/hostile, and in `fuzz.FORMATS`."""


def reading(tree):
    """What is named, called or not; to give a value of one's own such a name is not to read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and (node.attr in METHODS or ast.unparse(node) in FUNCTIONS):
            yield node.attr if node.attr in METHODS else ast.unparse(node)


def places():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if calls := set(reading(ast.parse(path.read_text()))):
            found[path.relative_to(ROOT).as_posix()] = calls
    return found


def test_what_reads_files_is_known():
    assert places() == PLACES


def test_the_rule_sees_every_kind_of_reading():
    for text in (
        "open('x')",
        "path.read_text()",
        "json.loads(x)",
        "np.load(f)",
        "io.open(f)",
        "zipfile.ZipFile(f)",
        "eval('1')",
        "f = gzip.open",
    ):
        assert list(reading(ast.parse(text))), text
    assert not list(reading(ast.parse("reopen(x); read(y); network.eval(); re.compile(z)")))
