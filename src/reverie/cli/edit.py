"""reverie edit."""

import types
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from .. import discover, editing, files
from ..editing.base import Edit, Edited, How
from ..errors import ReverieError, unknown
from ..modalities.grids import write_picture
from ..systems.records import BESIDE, KEY, fingerprint, made_by, records
from .sample import SHOWN, asked_for, avoiding, fresh
from .sampling import OPTIONS, bar, chosen, name_of, opened

LEFT_OUT = ("--reuse", "--compile", "--batch")
"""Options of sampling that edits do not have, or have with another meaning."""


class Verbs(click.Group):
    """The verbs that are discovered, each with its own options."""

    def list_commands(self, ctx):
        return list(known())

    def get_command(self, ctx, cmd_name):
        if cmd_name not in known():
            raise unknown("verb", cmd_name, known())
        return command_of(known()[cmd_name], cmd_name)


def known() -> dict[str, type[Edit]]:
    return {name.lower(): cls for name, cls in discover.discover(editing, Edit).items()}  # type: ignore[type-abstract]


@click.group("edit", cls=Verbs, subcommand_metavar="VERB RUN [OPTIONS]")
def command() -> None:
    """Edit pictures with RUN, a folder that `reverie train` made or the name of a shipped model; each verb has its --help."""


def command_of(cls: type[Edit], name: str) -> click.Command:
    """The command whose options are the verb's fields, what is sampled, and the pictures."""
    params: list[click.Parameter] = []
    if cls.takes[1]:
        params.append(click.Option(["--image", "image"], type=click.Path(), multiple=True, required=bool(cls.takes[0]),
                                   help="a picture to edit" + ("; may be repeated" if cls.takes[1] > 1 else "")))  # fmt: skip
    params += verb_options(cls)
    if cls.versions:
        params.append(click.Option(["-n", "--count"], type=int, default=1, show_default=True, help="how many versions"))
    params += [
        click.Option(["--label"], multiple=True, help="a class by name or number; several are taken in turn"),
        click.Option(
            ["--prompt"], multiple=True, help="what is to be seen, of a model that reads text; several in turn"
        ),
        click.Option(["--negative-prompt"], help="what is not to be seen"),
    ]
    params += sampling()
    params.sort(key=lambda one: not isinstance(one, click.Argument))
    params += [
        click.Option(["--batch"], type=int, default=16, show_default=True, help="versions, or tiles of one, at a time"),
        click.Option(["--overlap"], type=float, default=0.25, show_default=True,
                     help="share of a tile that it has in common with the next, where the picture is larger than the model's"),
        click.Option(["--grey"], is_flag=True, help="take the brightness of a picture in colour, for a model of grey pictures"),
        click.Option(["--out"], type=click.Path(path_type=Path), help="a folder that does not exist yet"),
        click.Option(["--no-metadata"], is_flag=True, help="leave out what made the result"),
    ]  # fmt: skip

    def run(out: Path | None, no_metadata: bool, **options: Any) -> None:
        edited(cls, name, out, no_metadata, options)

    return click.Command(name, params=params, callback=run, help=cls.__doc__)


def sampling() -> list[click.Parameter]:
    """The argument and the options of all commands that sample."""

    def nothing() -> None: ...

    for decorate in reversed(OPTIONS):
        decorate(nothing)
    found: list[click.Parameter] = nothing.__click_params__[::-1]  # type: ignore[attr-defined]
    return [one for one in found if not set(LEFT_OUT) & set(one.opts)]


def verb_options(cls: type[Edit]) -> list[click.Parameter]:
    hints, params = get_type_hints(cls), list[click.Parameter]()
    for field in fields(cls):  # type: ignore[arg-type]
        kind: Any = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not types.NoneType)
        about, names = field.metadata, [f"--{field.name.replace('_', '-')}", field.name]
        if kind is bool:
            params.append(click.Option(names, is_flag=True, default=field.default, help=about["help"]))
            continue
        what: Any = click.Path() if about["kind"] == "picture" else kind
        what = click.Choice(about["choices"]) if about["choices"] else what
        params.append(click.Option(names, type=what, default=field.default, show_default=field.default not in (None, ""),
                                   help=about["help"]))  # fmt: skip
    return params


def edited(cls: type[Edit], name: str, out: Path | None, no_metadata: bool, options: dict[str, Any]) -> None:
    """Does it, and writes all or nothing."""
    if out is not None and out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    verb = cls(**{field.name: options.pop(field.name) for field in fields(cls)})  # type: ignore[arg-type]
    given, run, labels, prompts = (
        options.pop("image", ()), options["run"], options.pop("label"), options.pop("prompt")
    )  # fmt: skip
    system: Any = opened(run, options["weights"], options["average"], options["adapter"])
    asked = asked_for(system, labels, prompts) if labels or prompts else None
    if (avoided := options.pop("negative_prompt")) is not None:
        options["guidance"] = (avoiding(avoided, system, options), *options["guidance"])
        options["scale"] = None
    with bar(name) as progress:
        task = progress.add_task("", total=1.0)
        sampled = chosen({**options, "compiled": "off"})
        del sampled["compiled"]
        how = How(**sampled, condition=asked,
                  progress=lambda done, total: progress.update(task, completed=done / total))  # fmt: skip
        done = verb(system, given, how)
    out = out or fresh(Path("edits"), f"{name_of(run)}-{name}-seed{how.seed}")
    about = told(system, name_of(run), done)
    with files.staged(out) as stage:
        made = []
        for i, (one, record) in enumerate(zip(done.raw, about, strict=True)):
            (path,) = system.modality.save(one[None], stage, start=i, info={} if no_metadata else {KEY: record})
            made.append({"file": path.name, **record})
        common = made_by(system, name_of(run), done.info, made="grid")
        if len(done) > 1:
            picture = system.modality.show(done.raw[:SHOWN])
            write_picture(picture, stage / "grid.png", {} if no_metadata else {KEY: common})
        for file, data in done.files.items():
            files.write_bytes(stage / file, data)
        if not no_metadata:
            files.write_json(stage / BESIDE, made)
    for line in done.said:
        click.echo(line)
    click.echo(f"{len(done)} picture{'s' * (len(done) != 1)} in {out}" + "".join(f"; {file}" for file in done.files))


def told(system: Any, model: str, done: Edited) -> list[dict[str, Any]]:
    """What made each picture: a sample's record where it needs no other picture, else what was done to which."""
    if done.samples is not None:
        return [record for part in done.samples for record in records(system, model, part)]
    common = made_by(system, model, done.info, made="edit")
    return [{**common, "index": i, "pixels": fingerprint(one)} for i, one in enumerate(done.raw)]
