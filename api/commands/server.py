"""Commands of an operator: serve, api, migrate, doctor."""

import ipaddress
import os
import signal
import sys
import time
from types import FrameType

import click

from api import doctor
from api.embedded import Stack, bind, embedded_stack, prepare_weights
from api.wsgi import api_argv
from nst_jobs import logs
from nst_jobs.database import Database
from nst_jobs.settings import Settings, read_settings

_WATCH_SECONDS = 0.5
_host_option = click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; loopback unless keys are required.",
)
_port_option = click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)


class Stopped(BaseException):
    """A signal asked this process to end; no handler of errors may swallow it."""


@click.command("serve")
@_host_option
@_port_option
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes."
)
@click.option("--stop-with-parent", is_flag=True, hidden=True)
def serve_command(*, host: str, port: int, workers: int, stop_with_parent: bool) -> None:
    """Run everything on this machine: database, broker, worker, API.

    Jobs and pictures are kept in NST_DATA_DIR. Ctrl-C or SIGTERM stops; a running job goes on
    from its checkpoint at the next start.
    """
    settings = read_settings()
    refuse_open_address(host, settings)
    logs.configure(settings.log_format)
    stop_on_signals()
    parent = os.getppid() if stop_with_parent else None
    try:
        with (
            bind(host, port) as listener,
            embedded_stack(
                prepare_weights(settings),
                listener=listener,
                state_dir=settings.data_dir,
                workers=workers,
            ) as stack,
        ):
            click.echo(f"nst-server listens on {stack.url} (Ctrl-C stops it)")
            watch_until_stopped(stack, parent)
    except Stopped:
        click.echo("stopped", err=True)


@click.command("api")
@_host_option
@_port_option
@click.option(
    "--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="API processes."
)
def api_command(*, host: str, port: int, processes: int) -> None:
    """Run the API alone, over the database, broker and storage of the settings."""
    refuse_open_address(host, read_settings())
    argv = api_argv(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", processes=processes)
    os.execv(sys.executable, argv)  # noqa: S606 - this process becomes the server


@click.command("migrate")
@click.option("--revision", default="head", show_default=True, help="`base` removes every table.")
def migrate_command(revision: str) -> None:
    """Bring the database's tables up to date."""
    settings = read_settings()
    database = Database(settings.database)
    database.migrate(revision)
    click.echo(f"{database.engine.url.render_as_string(hide_password=True)} is at {revision}")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(*, as_json: bool) -> None:
    """Say what would stop nst-server from working here, and the remedy."""
    findings = doctor.examine(read_settings())
    click.echo(doctor.as_json(findings) if as_json else doctor.as_text(findings))
    if any(finding.level == "error" for finding in findings):
        raise SystemExit(1)


def refuse_open_address(host: str, settings: Settings) -> None:
    """Refuse to listen where strangers could reach an API that asks nobody for a key.

    Raises:
        click.BadParameter: `host` is not a loopback address, and no keys are required.
    """
    if settings.require_keys:
        return
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise click.BadParameter(
            f"{host} is not a loopback address, and this server asks nobody for a key: anybody "
            "who reaches it could use it. Set NST_REQUIRE_KEYS=true; `nst keys create` makes keys.",
            param_hint="--host",
        )


def stop_on_signals() -> None:
    """Have SIGINT, SIGTERM and SIGHUP end the present block in good order."""

    def stop(number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C must not break off the stopping: the supervisor's grace bounds it.
        for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def watch_until_stopped(stack: Stack, parent: int | None) -> None:
    """Keep the stack's parts alive until a signal, or the parent's end, says stop."""
    while parent is None or os.getppid() == parent:
        stack.check()
        time.sleep(_WATCH_SECONDS)
    raise Stopped("parent ended")


COMMANDS = (serve_command, api_command, migrate_command, doctor_command)
