"""reverie train."""

import re
import types
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from .. import discover, recipes
from ..data.sources import present
from ..errors import ReverieError, unknown
from ..modalities import claiming
from ..reading import contained
from ..recipes.base import Recipe


class Train(click.Group):
    """A recipe by name, or a path: a folder or a file of that name wins, and is said."""

    def list_commands(self, ctx):
        return [spoken(name) for name in discover.discover(recipes, Recipe)]

    def get_command(self, ctx, cmd_name):
        known = {spoken(name): cls for name, cls in discover.discover(recipes, Recipe).items()}
        path = Path(cmd_name).expanduser()
        if path.suffix == ".json" and path.is_file():
            return again(cmd_name, path)
        if present(path):
            if cmd_name in known:
                click.echo(f"{cmd_name} is a path here, and is used; the recipe of that name is not", err=True)
            cls = discover.lookup("recipe", recipes, Recipe, "Folder" if claims_pictures(path) else "Arrays")
            return command_of(cls, cmd_name, str(path))
        if cmd_name in known:
            return command_of(known[cmd_name], cmd_name, None)
        if len(path.parts) > 1 or path.suffix:
            raise ReverieError(f"{cmd_name} does not exist")
        raise unknown("recipe", cmd_name, known, "A folder of pictures or a .npy file does too.")


def claims_pictures(path: Path) -> bool:
    return type(claiming(path)).__name__ == "Images"


def spoken(name: str) -> str:
    """FashionMNIST -> fashion_mnist."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def command_of(cls: type[Recipe], name: str, path: str | None) -> click.Command:
    """The command whose options are the recipe's fields."""
    hints = get_type_hints(cls)
    params: list[click.Parameter] = []
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name == "data":
            continue
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not types.NoneType)
        default = None if field.default is MISSING else field.default
        names = [f"--{field.metadata.get('flag') or field.name.replace('_', '-')}", field.name]
        if kind is bool:
            params.append(click.Option(names, is_flag=True, default=bool(default), help=field.metadata.get("help", "")))
            continue
        params.append(
            click.Option(names, type=kind, default=default, show_default=default not in (None, ""),
                         help=field.metadata.get("help", ""))
        )  # fmt: skip
    params.append(click.Option(["--out"], type=click.Path(path_type=Path), help="the run folder; runs/NAME by default"))
    needs_path = path is None and getattr(cls, "data", "") == ""
    if needs_path:
        params.insert(0, click.Argument(["data"], type=click.Path()))

    def run(out: Path | None, data: str | None = None, **options: Any) -> None:
        where = path or data
        cls(**options, **({"data": where} if where else {})).run(out)  # type: ignore[attr-defined]

    return click.Command(name, params=params, callback=run, help=cls.__doc__)


def again(name: str, path: Path) -> click.Command:
    """The command that does a recorded recipe once more; everything but the places is the recipe's."""
    params: list[click.Parameter] = [
        click.Option(["--out"], type=click.Path(path_type=Path), help="the run folder; runs/NAME by default"),
        click.Option(["--data"], type=click.Path(), help="where the data are now, where the recipe is not of a built-in set"),
        click.Option(["--from", "source"], help="where the run is now whose weights the recipe starts from, if from any"),
        click.Option(["--codec"], help="where the autoencoder is now in whose latents the recipe learns, if in any"),
    ]  # fmt: skip

    def run(out: Path | None, data: str | None, source: str | None, codec: str | None) -> None:
        from ..recipes.repeating import repeat

        repeat(path, out, data, source, codec)

    return click.Command(name, params=params, callback=run, help="Do a recorded recipe once more, to the same bytes.")


@click.group(cls=Train, invoke_without_command=True, subcommand_metavar="DATA|RECIPE [OPTIONS]")
@click.option("--resume", type=click.Path(path_type=Path), help="go on with a run that was stopped")
@click.pass_context
def command(ctx: click.Context, resume: Path | None) -> None:
    """Train a model. DATA is a folder of pictures or arrays, an array (.npy, .npz), shards ('data/*.tar', .parquet, .arrow),
    a recipe's name or the recipe.json of a run, which is then done once more, to the same bytes; every recipe has its own --help.
    """
    if resume and ctx.invoked_subcommand:
        raise ReverieError("--resume takes everything from the run: leave out the data and the recipe")
    if resume:
        go_on(resume)
    elif not ctx.invoked_subcommand:
        click.echo(ctx.get_help())
        ctx.exit(2)


def go_on(folder: Path) -> None:
    if not (folder / "recipe.json").is_file():
        raise ReverieError(f"{folder} is not a run that can go on: it holds no recipe.json")
    from ..recipes.repeating import recorded

    contained(folder)
    recipe, _ = recorded(folder / "recipe.json")
    recipe.run(folder, resume=True)
