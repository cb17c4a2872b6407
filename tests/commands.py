"""The command line, called in this process."""

from click.testing import CliRunner

from reverie.cli.app import app
from reverie.errors import ReverieError


def called(*arguments) -> str:
    """What a command that must succeed prints."""
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments) -> str:
    """The message with which a command that must not succeed says why."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert isinstance(done.exception, ReverieError), done.output
    return str(done.exception)
