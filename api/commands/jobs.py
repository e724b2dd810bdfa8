"""Commands that talk to a server like any client: submit, watch, show, list, cancel."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from api import bar
from api.client import NstClient
from api.schemas import JobView
from nst_core.options import PICTURE, given, mask_option, params_options

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the `client` of the server that its options name."""

    @click.option(
        "--url",
        envvar="NST_URL",
        show_envvar=True,
        default="http://127.0.0.1:8000",
        show_default=True,
        help="The server.",
    )
    @click.option(
        "--key",
        envvar="NST_API_KEY",
        show_envvar=True,
        help="API key, where the server asks for one; the variable keeps it out of process lists.",
    )
    @wraps(command)
    def with_client(*args: Any, url: str, key: str | None, **options: Any) -> object:  # noqa: ANN401 - click's
        with NstClient(url, key=key) as client:
            return command(*args, client=client, **options)

    return with_client


@click.command("submit")
@click.argument("content", type=PICTURE)
@click.argument("styles", metavar="STYLE...", nargs=-1, required=True, type=PICTURE)
@mask_option
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Wait for the result and write it here.",
)
@click.option("--priority", type=click.IntRange(0, 9), default=0, help="9 is claimed first.")
@_server_options
@_json_option
@params_options
def submit_command(  # noqa: PLR0913 - click hands over every option by name
    content: Path,
    styles: tuple[Path, ...],
    *,
    masks: tuple[Path, ...],
    watch: bool,
    output: Path | None,
    priority: int,
    client: NstClient,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of as many types as there are parameters
) -> None:
    """Have a server redraw CONTENT in the manner of one or more STYLE pictures.

    Prints the job's id; with --watch or -o it waits for the end.
    """
    _check_folder(output)
    job = client.submit(content, styles, masks=masks, params=given(options), priority=priority)
    if not watch and not output:
        click.echo(job.model_dump_json(indent=2) if as_json else job.id)
        return
    _watch(client, job.id, output=output, as_json=as_json)


@click.command("watch")
@click.argument("job_id", metavar="ID")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result here.",
)
@_server_options
@_json_option
def watch_command(job_id: str, *, output: Path | None, client: NstClient, as_json: bool) -> None:
    """Show a job's progress until it has ended."""
    _check_folder(output)
    _watch(client, job_id, output=output, as_json=as_json)


@click.command("show")
@click.argument("job_id", metavar="ID")
@_server_options
@_json_option
def show_command(job_id: str, *, client: NstClient, as_json: bool) -> None:
    """Show a job."""
    _print(client.get(job_id), as_json=as_json)


@click.command("cancel")
@click.argument("job_id", metavar="ID")
@_server_options
@_json_option
def cancel_command(job_id: str, *, client: NstClient, as_json: bool) -> None:
    """Cancel a job that has not ended."""
    _print(client.cancel(job_id), as_json=as_json)


@click.command("list")
@click.option(
    "--status", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"])
)
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--cursor", help="Where the last page said that the next one begins.")
@_server_options
@_json_option
def list_command(
    *, status: str | None, limit: int, cursor: str | None, client: NstClient, as_json: bool
) -> None:
    """List jobs, newest first."""
    page = client.list(status=status, limit=limit, cursor=cursor)
    if as_json:
        click.echo(page.model_dump_json(indent=2))
        return
    table = Table("id", "status", "created", "size", "step", "", box=None)
    for job in page.data:
        step = f"{job.progress.step}/{job.progress.total_steps}"
        created = f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        why = job.error.code if job.error else ""
        table.add_row(job.id, job.status, created, str(job.params.get("size")), step, why)
    Console().print(table)
    if page.next_cursor:
        click.echo(f"more: nst list --cursor {page.next_cursor}", err=True)


def _check_folder(output: Path | None) -> None:
    if output and not output.parent.is_dir():
        raise click.BadParameter(f"the folder {output.parent} is not there", param_hint="-o")


def _watch(client: NstClient, job_id: str, *, output: Path | None, as_json: bool) -> None:
    job = bar.show(client.watch(job_id), Console(stderr=True))
    if output and job.status == "succeeded":
        output.write_bytes(client.result(job.id))
        click.echo(f"{output} · weights: {job.weights}", err=True)
    _print(job, as_json=as_json)
    if job.status != "succeeded":
        raise SystemExit(1)


def _print(job: JobView, *, as_json: bool) -> None:
    if as_json:
        click.echo(job.model_dump_json(indent=2))
        return
    click.echo(f"{job.id} {job.status} {bar.note(job)}".rstrip())
    if job.error:
        click.echo(f"{job.error.code}: {job.error.message}\n{job.error.hint}".rstrip())


COMMANDS = (submit_command, watch_command, show_command, list_command, cancel_command)
