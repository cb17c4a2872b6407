"""The command line: thin, and quick to start; nothing imports it."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs a command and exits: 0 on success only, one clear line on failure, a traceback only with `--debug`."""
    import click

    from ..errors import ReverieError, printable
    from .app import app

    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or bool(os.environ.get("REVERIE_DEBUG"))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _told(warnings.showwarning)
            status = app.main([one for one in given if one != "--debug"], prog_name="reverie", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(_one_line(error), 2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except ReverieError as error:
        if debug:
            raise
        _fail(printable(str(error)), 1)
    except OSError as error:
        if debug:
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail("the disk is full: make room or write elsewhere; nothing half-written was left", 1)
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1)
    except Exception as error:  # the last line of defence: a person gets a sentence, whatever broke
        if debug:
            raise
        if _short_of_memory(error):
            _fail("memory ran out: free some, or ask for less at a time; nothing half-written was left", 1)
        _fail(f"{type(error).__name__}: {error} -- this is a defect of reverie; --debug shows where", 1)
    sys.exit(status if isinstance(status, int) else 0)  # what `Context.exit` said comes back as a value


def _told(otherwise: Callable[..., None]) -> Callable[..., None]:
    """What shows a warning: ours in one plain line, any other as before."""
    from ..errors import ReverieWarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, ReverieWarning):
            print(f"note: {message}", file=sys.stderr, flush=True)
        else:
            otherwise(message, category, *place, **more)

    return show


def _short_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from ..training.memory import is_shortage

    return is_shortage(error)


def _one_line(error: "object") -> str:
    import click

    assert isinstance(error, click.ClickException)
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f" ('{error.ctx.command_path} --help' lists what there is)"
    return " ".join(error.format_message().split()) + hint


def _fail(message: str, status: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
