"""The progress bar of a watched job."""

from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from api.schemas import JobView


def show(
    jobs: Iterable[JobView], console: Console, *, on_change: Callable[[JobView], None] | None = None
) -> JobView:
    """Draw a bar for the changing states of one job; return the last."""
    last = None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("queued", total=1.0, note="")
        for job in jobs:
            last = job
            bar.update(
                task, description=job.status, completed=job.progress.fraction, note=note(job)
            )
            if on_change:
                on_change(job)
    if last is None:
        raise RuntimeError("there was no state to show")
    return last


def note(job: JobView) -> str:
    """Return what there is to say about a job's progress, on one line."""
    progress = job.progress
    if job.status == "queued" and progress.queue_position:
        return f"number {progress.queue_position} in the queue"
    if progress.scale is None or progress.losses is None:
        return "loading the network" if job.status == "running" else ""
    scale = progress.scale
    said = [
        f"step {progress.step}/{progress.total_steps}",
        f"scale {scale.index}/{scale.count} {scale.width}×{scale.height}",
        f"loss {progress.losses.total:.4g}",
    ]
    if progress.eta_seconds is not None:
        said.append(f"{progress.eta_seconds:.0f} s left")
    return " · ".join(said)
