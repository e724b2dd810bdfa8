"""What the engine's commands share at a terminal: bars, messages, the folder of weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from nst_core.errors import NstError

console = Console(stderr=True)


def data_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that says where data lies."""
    return click.option(
        "--data-dir",
        envvar="NST_DATA_DIR",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        default=lambda: Path.home() / ".local/share/nst-server",
        help="Downloaded weights are kept in its folder `weights`.  "
        "[default: ~/.local/share/nst-server]",
    )(command)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a bar as soon as a download reports progress."""
    with make_bar(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("fetching weights", visible=False)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, visible=True)

        yield on_progress


def make_bar(*columns: Any) -> Progress:  # noqa: ANN401 - rich's columns share no public base
    """Return a progress bar with columns of one's own."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        *columns,
        console=console,
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the engine's errors, and a missing torch, into messages with a remedy."""
    try:
        yield
    except NstError as error:
        raise click.ClickException(f"{error.message}\n{error.hint}".rstrip()) from error
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("torch", "torchvision", "safetensors"):
            raise
        raise click.ClickException(
            f"this command computes and needs {error.name}, which is not installed here\n"
            "Install it with: pip install 'nst-server[worker]'"
        ) from error
