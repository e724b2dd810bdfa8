"""`nst worker`: the command of a machine that computes."""

import click

from nst_core import machine
from nst_core.errors import NstError
from nst_core.weights_cli import prepare
from nst_jobs import logs
from nst_jobs.settings import read_settings


@click.command("worker")
@click.option("--device", help="auto, cpu, cuda, cuda:0, …  [default: NST_DEVICE, or auto]")
def worker_command(device: str | None) -> None:
    """Claim jobs and run them, one at a time, until told to stop.

    SIGTERM or Ctrl-C drains: the running job keeps its progress and goes back to the queue.
    """
    machine.use_huge_pages()
    # Torch takes seconds to load, and a machine without it still has `nst --help`.
    from worker import process  # noqa: PLC0415

    settings = read_settings()
    if device:
        settings = settings.model_copy(update={"device": device})
    logs.configure(settings.log_format)
    # Here, where a download's bar is seen, and not when the first job waits for it.
    weights = prepare(settings.weights, settings.data_dir)
    settings = settings.model_copy(update={"weights": weights})
    try:
        process.run(settings)
    except NstError as error:
        raise click.ClickException(f"{error.message}\n{error.hint}") from error
