"""reverie compare."""

import sys
from pathlib import Path

import click

from .. import files
from ..comparison.page import page, seeds
from ..comparison.runs import Run, opened
from ..comparison.tables import Table, tables
from ..errors import ReverieError


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--all", "every", is_flag=True, help="also what is the same in all of them")
@click.option("--out", type=click.Path(path_type=Path), help="a page with curves and samples: FILE.html, or a folder")
def command(runs: tuple[str, ...], every: bool, out: Path | None) -> None:
    """Set two runs or more side by side: options, losses, figures that `reverie evaluate` wrote, and samples."""
    if len(runs) < 2:
        raise ReverieError("give two runs or more to compare")
    path = out if out is None or out.suffix.lower() in (".html", ".htm") else out / "comparison.html"
    if path is not None and path.exists():
        raise ReverieError(f"{path} exists: choose another --out")
    found = [opened(run) for run in runs]
    shown = tables(found, every)
    show = pretty if sys.stdout.isatty() else plain
    for run in found:
        for note in run.notes:
            click.echo(f"note: {run.name}: {note}", err=True)
    for table in shown:
        show(table, found)
    click.echo(f"samples: {seeds(found)}" + ("" if path else "; --out FILE.html shows them"))
    if path is not None:
        files.write_text(path, page(found, shown))
        click.echo(f"written to {path}")


def plain(table: Table, runs: list[Run]) -> None:
    """Columns of text, a line a row."""
    rows = [("", *(run.name for run in runs), "")] + [(what, *cells, note) for what, cells, note in table.rows]
    widths = [min(60, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    click.echo(f"{table.title}: {table.said}" if table.said else table.title)
    for row in rows if table.rows else ():
        click.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo()


def pretty(table: Table, runs: list[Run]) -> None:
    """The same on a terminal; nothing in a cell is read as markup."""
    from rich.console import Console
    from rich.table import Table as Rich
    from rich.text import Text

    console, rich = Console(highlight=False), Rich(title=table.title, title_justify="left")
    for name in ("", *(run.name for run in runs), ""):
        rich.add_column(Text(name), overflow="fold")
    for what, cells, note in table.rows:
        rich.add_row(Text(what, style="bold"), *(Text(cell) for cell in cells), Text(note, style="red"))
    if table.rows:
        console.print(rich)
    if table.said:
        console.print(Text(f"{'' if table.rows else f'{table.title}: '}{table.said}"))
    console.print()
