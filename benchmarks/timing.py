"""Seconds, measured so that a noisy machine disturbs all sides of a ratio alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

import torch

Key = TypeVar("Key")

WARM_UP_CALLS = 2
MOST_ROUNDS = 25


def clock(device: torch.device) -> float:
    """Return the time in seconds, after all that the device was told to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def interleaved(
    cases: Mapping[Key, Callable[[], object]],
    *,
    device: torch.device,
    seconds: float,
    least_rounds: int = 3,
) -> dict[Key, float]:
    """Return the median seconds of each case, all measured in turns, after a warm-up.

    Rounds go on until `seconds` have passed or `MOST_ROUNDS` were made, but for `least_rounds`.
    """
    for call in cases.values():
        for _ in range(WARM_UP_CALLS):
            call()
    found: dict[Key, list[float]] = {key: [] for key in cases}
    started = clock(device)
    for done in range(MOST_ROUNDS):
        if done >= least_rounds and clock(device) - started > seconds:
            break
        for key, call in cases.items():
            found[key].append(_seconds(call, device))
    return {key: median(times) for key, times in found.items()}


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    started = clock(device)
    call()
    return clock(device) - started
