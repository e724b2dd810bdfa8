"""One measurement of memory, in the process that it is about; prints JSON.

`memory` runs it as `python -m benchmarks.memory_probe engine --size 256 …`.
"""

import ctypes
import gc
import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import click
import torch

from benchmarks.bare import BareStep
from benchmarks.network import CACHE_DIR, load_convolutions
from benchmarks.pictures import fitted
from benchmarks.setting import Pictures, Precision, layers_of, pictures
from nst_core.engine import stylize
from nst_core.params import StyleParams
from nst_core.weights import load_network

_STEPS_A_SCALE = 2
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): sets the peak of resident memory to the present


@click.command()
@click.argument("subject", type=click.Choice(["engine", "bare"]))
@click.option("--size", type=int, required=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), required=True)
@click.option("--device", required=True)
@click.option("--weights", required=True)
@click.option("--images", type=click.Path(path_type=Path), required=True)
def main(
    subject: Literal["engine", "bare"],
    *,
    size: int,
    precision: Precision,
    device: str,
    weights: str,
    images: Path,
) -> None:
    """Print the peak memory of SUBJECT beyond what was there before it."""
    ready = _stylisation if subject == "engine" else _bare_steps
    params = StyleParams(size=size, precision=precision)
    place = torch.device(device)
    run = ready(params, place, weights, pictures(images))
    before = _start(place)
    run()
    click.echo(json.dumps({"peak_bytes": _peak(place) - before}))


def _stylisation(
    params: StyleParams, device: torch.device, weights: str, pair: Pictures
) -> Callable[[], None]:
    """Load the network; return what stylises with few steps."""
    network = load_network(weights, cache_dir=CACHE_DIR, device=device)
    short = params.model_copy(update={"steps": _STEPS_A_SCALE * (1 + (params.scales or 1))})

    def run() -> None:
        with closing(stylize(pair.content, [pair.style], short, network=network)) as steps:
            for progress in steps:
                if progress.step == progress.total_steps:
                    progress.picture()

    return run


def _bare_steps(
    params: StyleParams, device: torch.device, weights: str, pair: Pictures
) -> Callable[[], None]:
    """Load the convolutions; return what goes forward and backward."""
    convs = load_convolutions(weights, device)
    dtype = getattr(torch, params.precision)
    size = fitted(pair.content.size, params.size)

    def run() -> None:
        step = BareStep(convs, layers_of(params), pooling=params.pooling, dtype=dtype, size=size)
        for _ in range(_STEPS_A_SCALE):
            step()

    return run


def _start(device: torch.device) -> int:
    """Forget what loading took, and return the bytes in use."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    return _resident("VmRSS")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _resident("VmHWM")


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {field}: measuring memory needs Linux")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
