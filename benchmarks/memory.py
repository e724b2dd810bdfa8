"""Rows about memory: the peak of one stylisation, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Literal

from benchmarks.charts import Chart, Panel
from benchmarks.machine import free_bytes, precisions
from benchmarks.pictures import fitted
from benchmarks.report import Goal, Row, Section
from benchmarks.setting import Precision, Setting
from nst_core.estimate import Device, estimate
from nst_core.params import StyleParams

Subject = Literal["engine", "bare"]
Peaks = dict[tuple[Subject, int, Precision], int]

SUBJECTS: tuple[Subject, ...] = ("engine", "bare")
ESTIMATE = Goal("within", 0.15)
_ROOT = Path(__file__).parents[1]
#: What plain autograd keeps for a pixel in float32, roughly: only to leave out what cannot fit.
_ROUGH_BYTES_PER_PIXEL = 4_000
_MEBIBYTE = 2**20
_AT_A_TIME = 2


def estimated_bytes(setting: Setting, size: int, precision: Precision) -> int:
    """Return the engine's own estimate of a stylisation's memory."""
    kind: Literal["cpu", "cuda"] = "cpu" if setting.device.type == "cpu" else "cuda"
    device = Device(kind, memory_bytes=2**50, bfloat16=precision == "bfloat16")
    params = StyleParams(size=size, precision=precision)
    return estimate(params, device, size=setting.content.size).bytes


def fits(setting: Setting, size: int, precision: Precision) -> bool:
    """Return whether the device has the memory for a measurement of this size."""
    width, height = fitted(setting.content.size, size)
    rough = _ROUGH_BYTES_PER_PIXEL * width * height
    needed = rough if precision == "float32" else 0.6 * rough
    return needed * _AT_A_TIME < 0.8 * free_bytes(setting.device)


def peak_bytes(setting: Setting, subject: Subject, size: int, precision: Precision) -> int:
    """Return the peak memory beyond the loaded network, measured in a fresh process."""
    command = [
        *(sys.executable, "-m", "benchmarks.memory_probe", subject),
        *("--size", str(size)),
        *("--precision", precision),
        *("--device", str(setting.device)),
        *("--weights", setting.weights),
        *("--images", str(setting.images)),
    ]
    done = subprocess.run(  # noqa: S603 - our own module
        command, cwd=_ROOT, env=dict(os.environ), stdout=subprocess.PIPE, check=True
    )
    return int(json.loads(done.stdout)["peak_bytes"])


def sections(setting: Setting) -> Iterator[Section]:
    """Measure the engine and the bare step at each size and in each number format."""
    formats = [p for p in precisions(setting.device) if p in setting.extent.memory_precisions]
    cases = list(product(formats, setting.extent.memory_sizes))
    peaks = _peaks(setting, [case for case in cases if fits(setting, case[1], case[0])])
    rows = [row for precision, size in cases for row in _rows(setting, size, precision, peaks)]
    yield Section(
        title="Memory",
        explanation="Peak memory beyond the loaded network, each in a process of its own. The "
        "engine makes a whole stylisation with few steps a scale; bare is one forward and "
        "backward of the same layers by autograd.",
        rows=tuple(rows),
        charts=(_chart(setting, peaks),),
    )


def _peaks(setting: Setting, cases: list[tuple[Precision, int]]) -> Peaks:
    """Return each peak in bytes; two processes at a time, which is all the same to memory."""
    wanted = [(subject, size, precision) for precision, size in cases for subject in SUBJECTS]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        found = pool.map(lambda one: peak_bytes(setting, *one), wanted)
        return dict(zip(wanted, found, strict=True))


def _rows(setting: Setting, size: int, precision: Precision, peaks: Peaks) -> Iterator[Row]:
    case = f"{size} px, {precision}"
    if ("engine", size, precision) not in peaks:
        yield Row("memory over bare", case, None, "too little memory here")
        return
    ours, bare = (peaks[subject, size, precision] for subject in SUBJECTS)
    yield Row("memory over bare", case, ours / bare, f"{_mebibytes(ours)} ÷ {_mebibytes(bare)}")
    expected = estimated_bytes(setting, size, precision)
    measured = f"{_mebibytes(expected)} ÷ {_mebibytes(ours)}"
    yield Row("estimate over measured", case, expected / ours, measured, ESTIMATE)


def _chart(setting: Setting, peaks: Peaks) -> Chart:
    series: dict[str, list[tuple[float, float]]] = {}
    for (subject, size, precision), peak in peaks.items():
        width, height = fitted(setting.content.size, size)
        label = f"{'this engine' if subject == 'engine' else 'bare'}, {precision}"
        series.setdefault(label, []).append((width * height, peak / _MEBIBYTE))
    return Chart("memory.png", "Peak memory", (Panel(x="pixels", y="MiB", series=series),))


def _mebibytes(count: int) -> str:
    return f"{count / _MEBIBYTE:.0f} MiB"
