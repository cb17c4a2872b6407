"""reverie replay."""

import json
from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import ReverieError, printable
from ..systems.base import load
from ..systems.diffusion import Diffusion
from ..systems.records import BESIDE, KEY, Record
from ..systems.replaying import Replayed, listed, located, opened, replay, said_by
from .sampling import adapted


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", help="the run folder or shipped model, where it is not found by its recorded name")
@click.option("--weak", help="the run that it was guided away from, where there was one")
@click.option(
    "--adapter", multiple=True, help="a file that was added to the weights, where some were; the record has the scale"
)
@click.option("--batch", type=click.Choice(["recorded", "alone"]), default="recorded", show_default=True,
              help="in a batch of the size it was made in, or as the only sample")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="write the sample as it was made now to this file")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def command(file: Path, model: str | None, weak: str | None, adapter: tuple[str, ...], batch: str, out: Path | None,
            as_json: bool) -> None:  # fmt: skip
    """Make FILE again, a sample or the samples.json of several, from what it says made it and the weights alone.

    Succeeds only if it matches: every pixel equal at the recorded batch size, on a machine, device and versions like
    those it was made on; within one level of 255 (of an array: 1/255 of its range) alone.
    """
    if not file.is_file():
        raise ReverieError(f"{file} does not exist" if not file.exists() else f"{file} is a folder: name a file in it")
    if out is not None and out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    for one in adapter:
        if not Path(one).is_file():
            raise ReverieError(f"{one} is no file: --adapter takes the file that was added, without its scale")
    several = file.name == BESIDE or file.suffix == ".json"
    if several and out is not None:
        raise ReverieError("--out takes one sample: name its file instead of the list")
    entries = [(file.parent / one["file"], one) for one in listed(file)] if several else [(file, said_by(file))]
    other: Any = load(weak) if weak else None
    hashes = {files.sha256(Path(one)): one for one in adapter}
    systems: dict[Any, tuple[Path, Diffusion]] = {}
    reports, same = [], 0
    for path, data in entries:
        record = Record.read(data)
        if not path.is_file():
            raise ReverieError(f"{printable(path.name)} is missing")
        made_with = (record.model, record.weights, record.length, record.sha256, record.adapters)
        if made_with not in systems:
            folder = located(record, model)
            systems[made_with] = folder, opened(record, folder)
            added = [(hashes[sha256], scale) for sha256, scale in record.adapters if sha256 in hashes]
            if added:
                adapted(systems[made_with][1], added)
        folder, system = systems[made_with]
        sample, _ = system.modality.decode(path)
        found = replay(sample, record, system, batch == "alone", other)
        same += found.matches
        reports.append(report(path, record, found))
        if not as_json:
            for line in lines(path, record, found):
                click.echo(line)
        if out is not None:
            record_now = {**found.record, "model": folder.resolve().name}
            files.write_bytes(out, system.modality.encode(found.made, {KEY: record_now}))
            click.echo(f"made now: {out}", err=as_json)
    if as_json:
        click.echo(json.dumps(reports if several else reports[0], indent=1))
    elif several:
        click.echo(f"{same} of {len(entries)} match")
    if same < len(entries):
        click.get_current_context().exit(1)


def lines(path: Path, record: Record, found: Replayed) -> list[str]:
    """What came of it, and why it did not match."""
    name = printable(path.name)
    where = "alone" if found.alone else f"at place {record.place} of a batch of {record.size}"
    what = f"sample {record.index} of seed {record.seed} of {printable(record.model)}, made again {where}"
    if found.differing == 0:
        return [f"{name}: the same, all {found.total:,} {units(found)} equal ({what})"]
    plural = "" if found.levels == 1 else "s"
    amount = (
        f"{found.differing:,} of {found.total:,} {units(found)} differ, by {found.levels:.3g} level{plural} at most"
    )
    if found.matches:
        return [f"{name}: the same to one level; {amount} ({what})"]
    if found.edited:
        also = "; as it was recorded, it comes out again exactly" if found.regenerated else ""
        told = [f"{name}: not the same; {amount} ({what})", f"  the file was changed after it was made{also}"]
    else:
        told = [f"{name}: not the same; {amount} ({what})"]
    return told + [f"  {cause}" for cause in reasons(record, found)]


def reasons(record: Record, found: Replayed) -> list[str]:
    if found.matches or (found.edited and found.regenerated):
        return []
    reasons = list(found.causes)
    if found.alone and record.size > 1:
        reasons.append(f"alone, {record.dtype} products round otherwise than in a batch of {record.size}: "
                       "try --batch recorded")  # fmt: skip
    if not reasons and not found.edited:
        reasons.append("weights, versions, device and threads are as they were: the record was changed, or another "
                       "library or processor rounds otherwise")  # fmt: skip
    return reasons


def units(found: Replayed) -> str:
    return "numbers" if found.made.is_floating_point() else "pixels"


def report(path: Path, record: Record, found: Replayed) -> dict[str, Any]:
    return {
        "file": path.name, "matches": found.matches, "exact": found.differing == 0, "differing": found.differing,
        "total": found.total, "levels": found.levels, "batch": 1 if found.alone else record.size,
        "edited": found.edited, "as_recorded": found.regenerated, "model": record.model, "seed": record.seed,
        "index": record.index, "differences": list(found.causes), "reasons": reasons(record, found),
    }  # fmt: skip
