"""Making a run small enough to ship: what loading and sampling need, in half precision."""

from pathlib import Path

from .. import files
from ..errors import ReverieError
from ..files import fill
from ..systems.base import load


def ship(run: Path, out: Path) -> Path:
    """Writes model.json, recipe.json, the card and the averaged weights in float16 to `out`, and returns it.

    Raises ReverieError where the weights do not fit in float16, or `out` exists.
    """
    if out.exists():
        raise ReverieError(f"{out} exists: choose another folder")
    system = load(run)
    halves = {name: tensor.half() for name, tensor in system.network.state_dict().items()}
    with files.staged(out) as stage:
        files.save_tensors(stage / "weights" / "ema.safetensors", halves)
        for name in ("model.json", "recipe.json", "README.md"):
            files.write_bytes(stage / name, (run / name).read_bytes())
        for grid in sorted((run / "samples").glob("*-ema.png"))[-1:]:  # the card shows it
            files.write_bytes(stage / "samples" / grid.name, grid.read_bytes())
        fill(system.network, files.load_tensors(stage / "weights" / "ema.safetensors"), "what was shipped")
    return out
