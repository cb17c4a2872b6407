"""The package as a user meets it: quick to import, and all of it there."""

import subprocess
import sys
from pathlib import Path

import reverie

HEAVY = ("torch", "numpy", "PIL", "sklearn", "accelerate", "safetensors", "rich", "click")


def modules_after(code):
    said = f"{code}; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split()


def test_importing_reverie_loads_nothing_heavy():
    assert modules_after("import reverie") == []
    assert modules_after("import reverie, reverie.errors, reverie.cli") == []


def test_the_list_of_commands_needs_no_torch():
    code = "from reverie.cli.app import app; app.main(['--help'], standalone_mode=False)"
    assert "torch" not in modules_after(code)


def test_the_core_is_torch_alone():
    code = "import reverie.core.losses, reverie.core.oracles, reverie.core.grids"
    assert set(modules_after(code)) <= {"torch", "numpy"}


def test_what_is_listed_is_there():
    for name in reverie.__all__:
        assert getattr(reverie, name)
    assert (Path(reverie.__file__).parent / "py.typed").exists()
