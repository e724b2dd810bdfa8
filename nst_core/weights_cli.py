"""`nst weights`: fetch the network's weights, or look into a weights file.

Torch is loaded inside the commands, as in `cli`.
"""

import json
from pathlib import Path

import click

from nst_core.terminal import console, data_dir_option, download_bar, engine_errors


@click.group("weights")
def weights_command() -> None:
    """Fetch the network's weights, or look into a weights file."""


@weights_command.command("fetch")
@data_dir_option
def fetch_command(data_dir: Path) -> None:
    """Download torchvision's VGG19 weights (548 MB), once, and check them."""
    with engine_errors():
        from nst_core.weights import fetch_imagenet  # noqa: PLC0415 - loads torch

        with download_bar() as on_progress:
            path = fetch_imagenet(data_dir / "weights", on_progress=on_progress)
    click.echo(path)


@weights_command.command("prepare", hidden=True)
@click.argument("choice")
@data_dir_option
def prepare_command(choice: str, data_dir: Path) -> None:
    """Have ready what NST_WEIGHTS=CHOICE needs, and print what it comes to."""
    click.echo(prepare(choice, data_dir))


def prepare(choice: str, data_dir: Path) -> str:
    """Download what `choice` needs, showing a bar; return what `auto` comes to here."""
    with engine_errors():
        from nst_core import weights  # noqa: PLC0415 - loads torch

        with download_bar() as on_progress:
            resolved, notice = weights.resolve(
                choice, cache_dir=data_dir / "weights", on_progress=on_progress
            )
        if resolved not in ("imagenet", "random"):
            weights.read_state(Path(resolved).expanduser())
    if notice:
        console.print(notice, style="bold yellow")
    return resolved


@weights_command.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def check_command(file: Path | None, data_dir: Path, *, as_json: bool) -> None:
    """Say whether FILE, or else the downloaded weights, is VGG19 as trained on ImageNet.

    Compares every layer that the file holds; exits with 1 when it is another network.
    """
    with engine_errors():
        from nst_core.weights import fetch_imagenet  # noqa: PLC0415 - loads torch
        from nst_core.weights_check import check  # noqa: PLC0415 - loads torch

        with download_bar() as on_progress:
            path = file or fetch_imagenet(data_dir / "weights", on_progress=on_progress)
        report = check(path)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        click.echo(report.as_text())
    if not report.matches:
        raise SystemExit(1)
