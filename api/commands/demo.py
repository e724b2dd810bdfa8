"""`nst demo`: the whole service on two pictures, from nothing to a result, and then gone."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

import api.samples
from api import bar
from api.client import NstClient
from api.commands.server import Stopped, stop_on_signals
from api.embedded import Stack, bind, embedded_stack, prepare_weights
from api.schemas import JobView, SnapshotView
from nst_core.options import PICTURE, params_from
from nst_jobs import logs
from nst_jobs.settings import read_settings

#: Two CPU cores need half a minute for it with bfloat16 in hardware, a minute and a half without.
DEMO_SIZE = 384
DEMO_STEPS = 200
_SNAPSHOT_EVERY = 25
_SAMPLES = Path(next(iter(api.samples.__path__)))


@click.command("demo")
@click.option("--content", type=PICTURE, help="The photo.  [default: a sample]")
@click.option("--style", type=PICTURE, help="The style picture.  [default: a sample]")
@click.option("--size", type=int, default=DEMO_SIZE, show_default=True, help="Long edge, pixels.")
@click.option("--steps", type=int, default=DEMO_STEPS, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the pictures.",
)
def demo_command(
    *, content: Path | None, style: Path | None, size: int, steps: int, output: Path
) -> None:
    """Start the server, stylise a picture over HTTP like any client, and stop it again."""
    params = {"size": size, "steps": steps, "snapshot_every": _SNAPSHOT_EVERY}
    params_from(params)  # what is wrong is said before anything is started
    stop_on_signals()
    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    for path in (*output.glob("step-*.jpg"), *output.glob("result.*")):
        path.unlink()  # of an earlier demo, with which this one's would be mixed up
    settings = read_settings()
    logs.configure(settings.log_format)
    try:
        settings = prepare_weights(settings)
        with (
            TemporaryDirectory(prefix="nst-demo-") as state,
            bind("127.0.0.1", 0) as listener,
            embedded_stack(
                settings.model_copy(update=_own_parts(Path(state))),
                listener=listener,
                state_dir=Path(state),
                log_dir=output / "logs",
            ) as stack,
            NstClient(stack.url) as client,
        ):
            job = client.submit(
                content or _SAMPLES / "content.jpg",
                [style or _SAMPLES / "style.jpg"],
                params=params,
            )
            job = _Demo(client, stack, output).follow(job)
    except Stopped:
        click.echo("stopped", err=True)
        raise SystemExit(130) from None
    if job.status != "succeeded":
        why = f"{job.error.code}: {job.error.message}" if job.error else ""
        raise click.ClickException(f"the job has {job.status}. {why}\nLogs are in {output}/logs.")
    click.echo(f"weights: {job.weights}\ntime: {time.monotonic() - started:.0f} s in all")


def _own_parts(state: Path) -> dict[str, str]:
    """Return the settings that keep a demo out of any other server's way."""
    return {
        "database_url": f"sqlite:///{state / 'nst.db'}",
        "storage_url": (state / "files").as_uri(),
        "broker_url": "",
    }


class _Demo:
    """Follows one job and keeps its pictures."""

    def __init__(self, client: NstClient, stack: Stack, output: Path) -> None:
        self._client = client
        self._stack = stack
        self._output = output
        self._parent = os.getppid()
        self._kept: dict[int, Path] = {}

    def follow(self, job: JobView) -> JobView:
        """Show the job's progress to its end; print where the pictures are."""
        job = bar.show(
            self._client.watch(job.id), Console(stderr=True), on_change=self._keep_snapshots
        )
        for path in self._kept.values():
            click.echo(f"snapshot: {path}")
        if job.status == "succeeded":
            path = self._output / f"result.{job.params['format']}"
            path.write_bytes(self._client.result(job.id))
            click.echo(f"result:   {path}")
        return job

    def _keep_snapshots(self, job: JobView) -> None:
        self._stack.check()
        if os.getppid() != self._parent:
            raise Stopped("parent ended")
        for snapshot in self._client.snapshots(job.id):
            if snapshot.step not in self._kept:
                self._kept[snapshot.step] = self._write(snapshot)

    def _write(self, snapshot: SnapshotView) -> Path:
        path = self._output / f"step-{snapshot.step:04d}.jpg"
        path.write_bytes(self._client.picture(snapshot.url))
        return path
