"""The device to compute on: which one, its memory, and how quick it is at this engine's steps.

Run as `python -m nst_core.devices WEIGHTS CACHE_DIR DEVICE` it prints a device's description as
JSON, for programs that have no torch themselves.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image

from nst_core import machine
from nst_core.estimate import Device, Speed, gigaflops
from nst_core.objective import Objective
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.precision import convolution_dtype
from nst_core.schedule import Scale
from nst_core.sources import Sources
from nst_core.vgg import Vgg
from nst_core.weights import load_network

_EDGES = (128, 320)
_REPEATS = 3


def describe(network: Vgg, *, memory_bytes: int) -> Device:
    """Return the network's device, with its speed at the number format that it is best at."""
    dtype = convolution_dtype("auto", network.device)
    quick = network.to(dtype=dtype)
    small, large = (_seconds(quick, edge) for edge in _EDGES)
    works = [gigaflops(StyleParams(), Scale(edge, edge, 1)) for edge in _EDGES]
    slope = max(0.0, (large - small) / (works[1] - works[0]))
    return Device(
        "cuda" if network.device.type == "cuda" else "cpu",
        memory_bytes,
        bfloat16=dtype == torch.bfloat16,
        speed=Speed(max(0.0, small - slope * works[0]), slope),
    )


def _seconds(network: Vgg, edge: int) -> float:
    """Return the seconds of a step at the default parameters; the best of some."""
    grain = Image.effect_noise((edge, edge), 60).convert("RGB")
    sources = Sources.prepare(grain, [grain], (), StyleParams())
    scale = Scale(edge, edge, 1)
    objective = Objective(sources, StyleParams(), network=network, scale=scale)
    pixels = preprocess(grain).to(network.device).requires_grad_()
    objective.evaluate(pixels)  # the first one warms up
    return min(_timed(objective, pixels) for _ in range(_REPEATS))


def _timed(objective: Objective, pixels: torch.Tensor) -> float:
    started = time.perf_counter()
    objective.evaluate(pixels).total.item()  # waits for the device
    return time.perf_counter() - started


def resolve(name: str) -> str:
    """Return torch's name of a device; `auto` is the first GPU, or the CPU if there is none."""
    if name != "auto":
        return name
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def device_memory(device: torch.device) -> int:
    """Return the memory of a device in bytes; that of the machine or container for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine.memory_bytes()


if __name__ == "__main__":
    weights, folder, name = sys.argv[1:]
    loaded = load_network(weights, cache_dir=Path(folder), device=resolve(name))
    found = describe(loaded, memory_bytes=device_memory(loaded.device))
    print(json.dumps(asdict(found)))  # noqa: T201 - its one purpose
