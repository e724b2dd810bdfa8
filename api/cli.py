"""`nst`: the command line, put together from what each package offers.

Exit codes: 0 done · 1 the job failed or was cancelled, or a check found something · 2 wrong usage
· 3 no server answers · 4 the server refused the request · 130 interrupted.
"""

import os
import sys
from importlib.metadata import entry_points

import click
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError

from api.client import ApiError, ServerUnreachable
from api.commands import demo, jobs, keys, server
from nst_core.errors import NstError

_EXTENSIONS = "nst.commands"


class _Commands(click.Group):
    """The commands of `api`, and those that other packages name as entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group=_EXTENSIONS).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group=_EXTENSIONS, name=cmd_name):
            command = entry.load()
            return command if isinstance(command, click.Command) else None
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nst-server", prog_name="nst")
def nst() -> None:
    """Neural style transfer: pictures in, a stylised picture out.

    `nst serve` runs everything on this machine; `nst submit` sends a job to a server;
    `nst stylize` computes right here without one. Settings are read from NST_… variables.
    """


for _command in (*jobs.COMMANDS, *server.COMMANDS, demo.demo_command):
    nst.add_command(_command)
nst.add_command(keys.keys_command)


def main() -> None:
    """Run a command; every known error is a message with its remedy, and an exit code."""
    try:
        # Not standalone: click would exit with 1 on Ctrl-C, which is a failed job's code here.
        sys.exit(nst.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except NstError as error:
        _say(f"Error: {error.message}", error.hint)
        sys.exit(_exit_code(error))
    except (SQLAlchemyError, CommandError) as error:
        _say(f"Error: the database: {error}", "`nst doctor` looks for what is wrong.")
        sys.exit(1)
    except BrokenPipeError:  # `nst list | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _say(f"Error: {error}", "`nst doctor` looks for what is wrong.")
        sys.exit(1)


def _say(*lines: str) -> None:
    for line in filter(None, lines):
        click.echo(line, err=True)


def _exit_code(error: NstError) -> int:
    if isinstance(error, ServerUnreachable):
        return 3
    return 4 if isinstance(error, ApiError) else 1
