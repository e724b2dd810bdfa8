"""`nst stylize`: the engine by itself, with no server.

Torch is loaded inside the commands, so that `nst --help` is quick and works where torch is not.
"""

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
from rich.progress import (
    TextColumn,
    TimeRemainingColumn,
)

from nst_core import images, machine, schedule
from nst_core.masks import check_mask_count, check_mask_shape, read_mask
from nst_core.options import PICTURE, mask_option, params_from, params_options
from nst_core.params import StyleParams
from nst_core.terminal import console, data_dir_option, download_bar, engine_errors, make_bar

_FORMATS: dict[str, Literal["png", "jpeg", "webp"]] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}
_INTERRUPTED = 130


@click.command("stylize")
@click.argument("content", type=PICTURE)
@click.argument("styles", metavar="STYLE...", nargs=-1, required=True, type=PICTURE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; its suffix decides the format unless --format is given.",
)
@mask_option
@click.option(
    "--weights",
    envvar="NST_WEIGHTS",
    show_envvar=True,
    default="auto",
    show_default=True,
    help="auto, imagenet, random, or the path of a weights file.",
)
@click.option(
    "--device",
    envvar="NST_DEVICE",
    show_envvar=True,
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:0, …",
)
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@params_options
def stylize_command(  # noqa: PLR0913 - click hands over every option by name
    content: Path,
    styles: tuple[Path, ...],
    *,
    output: Path,
    masks: tuple[Path, ...],
    weights: str,
    device: str,
    data_dir: Path,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - an option for every field of `StyleParams`
) -> None:
    """Redraw the picture CONTENT in the manner of one or more STYLE pictures.

    Ctrl-C writes the picture as far as it has come, and exits with 130.
    """
    if options["format"] is None:
        options["format"] = _format_of(output)
    params = params_from(options)
    _check_writable(output)
    started = time.monotonic()
    machine.use_huge_pages()
    with engine_errors():
        pictures = [_picture(path) for path in (content, *styles)]
        regions = _masks(masks, pictures)
        network = _network(weights, device, data_dir)
        last, finished = _run(pictures, regions, params, network)
    try:
        output.write_bytes(_encoded(last, params))
    except OSError as error:
        raise click.ClickException(f"{output} could not be written: {error.strerror}") from error
    if as_json:
        summary = {
            "output": str(output),
            "width": last.scale.width,
            "height": last.scale.height,
            "finished": finished,
            "steps": last.step,
            "seconds": round(time.monotonic() - started, 1),
            "weights": network.name,
            "losses": vars(last.losses),
            "params": params.model_dump(),
        }
        click.echo(json.dumps(summary, indent=2))
    if not finished:
        raise SystemExit(_INTERRUPTED)


def _check_writable(output: Path) -> None:
    """Find out before the work, not after it, that there is nowhere to put the picture."""
    if not output.parent.is_dir():
        raise click.BadParameter(f"the folder {output.parent} is not there", param_hint="-o")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise click.BadParameter(f"{output} cannot be written", param_hint="-o")


def _format_of(output: Path) -> Literal["png", "jpeg", "webp"]:
    suffix = output.suffix.lower()
    if suffix not in _FORMATS:
        raise click.BadParameter(
            f"{output.name} does not end in {', '.join(_FORMATS)}: rename it or give --format",
            param_hint="-o",
        )
    return _FORMATS[suffix]


def _picture(path: Path) -> Any:  # noqa: ANN401 - PIL's image, whose module stays unloaded here
    return images.read_image(path.read_bytes(), field=path.name).image


def _masks(paths: Sequence[Path], pictures: Sequence[Any]) -> list[Any]:
    """Return the masks, of which there may be one for each style among the pictures."""
    check_mask_count(len(paths), len(pictures) - 1)
    found = [read_mask(path.read_bytes(), field=path.name).image for path in paths]
    for path, mask in zip(paths, found, strict=True):
        check_mask_shape(mask.size, pictures[0].size, field=path.name)
    return found


def _run(
    pictures: Sequence[Any],
    masks: Sequence[Any],
    params: StyleParams,
    network: Any,  # noqa: ANN401 - torch's classes are not loaded where this is defined
) -> tuple[Any, bool]:
    """Return the last progress, and whether it was the run's last."""
    from nst_core.devices import device_memory  # noqa: PLC0415 - `nst --help` must not load torch
    from nst_core.engine import stylize  # noqa: PLC0415 - as above

    last = None
    memory = round(machine.USABLE * device_memory(network.device))
    run = partial(stylize, pictures[0], pictures[1:], params, network=network)
    plan = schedule.plan(pictures[0].width, pictures[0].height, params)
    work = schedule.pixel_steps(plan, params.steps)
    with (
        make_bar(TextColumn("{task.fields[note]}"), TimeRemainingColumn()) as bar,
        closing(run(masks=masks, memory_bytes=memory)) as steps,
    ):
        task = bar.add_task("stylising", total=work, note="")
        try:
            for last in steps:
                left = last.total_steps - last.step
                done = work if left == 0 else schedule.pixel_steps(plan, last.step)
                bar.update(task, completed=done, note=_note(last))
        except KeyboardInterrupt:
            if last is None:
                raise
            return last, False
    return last, True


def _encoded(progress: Any, params: StyleParams) -> bytes:  # noqa: ANN401 - as above
    from nst_core.results import encode_result  # noqa: PLC0415 - loads torch

    return encode_result(progress, params)


def _note(progress: Any) -> str:  # noqa: ANN401 - as above
    scale = progress.scale
    tiles = f" in {scale.tiles} tiles" if scale.tiles > 1 else ""
    return (
        f"step {progress.step}/{progress.total_steps} · "
        f"scale {scale.index}/{scale.count} {scale.width}×{scale.height}{tiles} · "
        f"loss {progress.losses.total:.4g}"
    )


def _network(weights: str, device: str, data_dir: Path) -> Any:  # noqa: ANN401 - torch is not loaded yet
    """Return the network, telling how a download goes and what must be said about the weights."""
    import torch  # noqa: PLC0415 - `nst --help` must not load torch

    from nst_core.devices import resolve  # noqa: PLC0415 - loads torch
    from nst_core.weights import load_network  # noqa: PLC0415 - loads torch

    device = resolve(device)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise click.BadParameter(f"{device}: {reason}", param_hint="--device") from error
    with download_bar() as on_progress:
        network = load_network(
            weights, cache_dir=data_dir / "weights", device=device, on_progress=on_progress
        )
    if network.notice:
        console.print(network.notice, style="bold yellow")
    return network
