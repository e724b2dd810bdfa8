"""Rows about seconds: a step over the bare one, number formats, the machine's rate, pixels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from benchmarks.bare import BareStep, square_matmul
from benchmarks.charts import Chart, Panel
from benchmarks.machine import cpu_flags, precisions
from benchmarks.memory import fits
from benchmarks.network import multiply_adds
from benchmarks.pictures import fitted
from benchmarks.report import Goal, Row, Section
from benchmarks.setting import Precision, Setting, layers_of
from benchmarks.timing import interleaved
from nst_core.engine import stylize
from nst_core.params import StyleParams

Loss = Literal["wasserstein", "gatys"]

LOSSES: tuple[Loss, ...] = ("wasserstein", "gatys")
OVER_BARE = Goal("at most", 1.10)
BFLOAT16_GAIN = Goal("at least", 1.7)
FLAT = Goal("at most", 1.15)
#: More steps than a measurement ever takes: the engine must not come to its end.
_PLENTY = 10_000


@dataclass(frozen=True)
class Case:
    """One thing that is timed; `size` is the long edge in pixels."""

    what: Literal["engine", "bare", "matmul"]
    size: int
    precision: Precision
    loss: Loss = LOSSES[0]


class Bench:
    """The cases that are timed together; what they hold on to is let go of on leaving."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._stack = ExitStack()
        self._calls: dict[Case, Callable[[], object]] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.clear()
        self._stack.close()

    def add(self, case: Case) -> None:
        """Make ready what the case needs."""
        make = {"engine": self._engine, "bare": self._bare, "matmul": self._matmul}[case.what]
        self._calls[case] = make(case)

    def seconds(self) -> dict[Case, float]:
        """Return the median seconds of each case."""
        seconds = self._setting.extent.seconds
        return interleaved(self._calls, device=self._setting.device, seconds=seconds)

    def _engine(self, case: Case) -> Callable[[], object]:
        setting, params = self._setting, _params(case)
        steps = stylize(setting.content, [setting.style], params, network=setting.network)
        return partial(next, self._stack.enter_context(closing(steps)))

    def _bare(self, case: Case) -> Callable[[], object]:
        params = _params(case)
        return BareStep(
            self._setting.convs,
            layers_of(params),
            pooling=params.pooling,
            dtype=getattr(torch, case.precision),
            size=fitted(self._setting.content.size, case.size),
        )

    def _matmul(self, case: Case) -> Callable[[], object]:
        dtype: torch.dtype = getattr(torch, case.precision)
        return square_matmul(case.size, dtype=dtype, device=self._setting.device)


def _params(case: Case) -> StyleParams:
    return StyleParams(
        size=case.size, steps=_PLENTY, scales=1, precision=case.precision, loss=case.loss
    )


def step_section(setting: Setting, size: int) -> Section:
    """Measure steps at one size: over bare, in bfloat16, and against the machine's rate."""
    formats = precisions(setting.device)
    with Bench(setting) as bench:
        for precision in formats:
            for loss in LOSSES:
                bench.add(Case("engine", size, precision, loss))
            bench.add(Case("bare", size, precision))
            bench.add(Case("matmul", setting.extent.matmul_edge, precision))
        seconds = bench.seconds()
    rows = [_over_bare(seconds, size, precision, loss) for precision in formats for loss in LOSSES]
    if "bfloat16" in formats:
        rows += [_bfloat16_gain(setting, seconds, size, loss) for loss in LOSSES]
    rows += [_share_of_rate(setting, seconds, size, precision) for precision in formats]
    return Section(
        title=f"A step at {size} px",
        explanation="Medians of seconds, all cases in turns. Bare: forward and backward of the "
        "same layers by autograd, without loss and optimiser. Matrix rate: multiply-adds of the "
        "convolutions a second, over those of a square product "
        f"({setting.extent.matmul_edge}³) in the same number format.",
        rows=tuple(rows),
    )


def _over_bare(seconds: dict[Case, float], size: int, precision: Precision, loss: Loss) -> Row:
    ours = seconds[Case("engine", size, precision, loss)]
    bare = seconds[Case("bare", size, precision)]
    return Row(
        name="step over bare",
        case=f"{size} px, {precision}, {loss}",
        ratio=ours / bare,
        measured=f"{ours:.4f} s ÷ {bare:.4f} s",
        goal=OVER_BARE,
    )


def _bfloat16_gain(setting: Setting, seconds: dict[Case, float], size: int, loss: Loss) -> Row:
    slow = seconds[Case("engine", size, "float32", loss)]
    fast = seconds[Case("engine", size, "bfloat16", loss)]
    on_cpu = setting.device.type == "cpu" and "avx512_bf16" in cpu_flags()
    return Row(
        name="bfloat16 over float32",
        case=f"{size} px, {loss}",
        ratio=slow / fast,
        measured=f"{slow:.4f} s ÷ {fast:.4f} s",
        goal=BFLOAT16_GAIN if on_cpu else None,
    )


def _share_of_rate(
    setting: Setting, seconds: dict[Case, float], size: int, precision: Precision
) -> Row:
    case = Case("engine", size, precision)
    width, height = fitted(setting.content.size, size)
    layers = layers_of(_params(case))
    work = multiply_adds(setting.convs, layers, width=width, height=height)
    edge = setting.extent.matmul_edge
    rate, most = work / seconds[case], edge**3 / seconds[Case("matmul", edge, precision)]
    return Row(
        name="share of the matrix rate",
        case=f"{size} px, {precision}",
        ratio=rate / most,
        measured=f"{rate / 1e9:.1f} ÷ {most / 1e9:.1f} billion multiply-adds a second",
    )


def pixel_section(setting: Setting) -> Section:
    """Measure what a pixel costs at each size, each in turns with the smallest."""
    precision = precisions(setting.device)[-1]
    first, *larger = setting.extent.pixel_sizes
    rows, charted = [], dict[Case, float]()
    for size in larger:
        if not fits(setting, size, precision):
            rows.append(Row("cost per pixel", f"{size} px", None, "too little memory here"))
            continue
        seconds = _seconds_at(setting, (first, size), precision)
        rows.append(_pixel_row(setting, seconds, (first, size), precision))
        charted = seconds | charted
    return Section(
        title="Pixels",
        explanation=f"Seconds a step and pixel over those at {first} px, in turns; the engine's "
        f"default loss in {precision}.",
        rows=tuple(rows),
        charts=(_chart(setting, charted),),
    )


def _seconds_at(
    setting: Setting, sizes: tuple[int, ...], precision: Precision
) -> dict[Case, float]:
    with Bench(setting) as bench:
        for size in sizes:
            bench.add(Case("engine", size, precision))
            bench.add(Case("bare", size, precision))
        return bench.seconds()


def _pixel_row(
    setting: Setting, seconds: dict[Case, float], sizes: tuple[int, int], precision: Precision
) -> Row:
    first, now = (
        seconds[Case("engine", size, precision)] / _pixels(setting, size) for size in sizes
    )
    return Row(
        name="cost per pixel",
        case=f"{sizes[1]} px over {sizes[0]} px, {precision}",
        ratio=now / first,
        measured=f"{now * 1e6:.3f} µs ÷ {first * 1e6:.3f} µs a pixel",
        goal=FLAT,
    )


def _chart(setting: Setting, seconds: dict[Case, float]) -> Chart:
    series: dict[str, list[tuple[float, float]]] = {}
    for case, value in seconds.items():
        label = {"engine": "this engine", "bare": "bare forward and backward"}[case.what]
        series.setdefault(label, []).append((_pixels(setting, case.size), value))
    panel = Panel(x="pixels", y="seconds a step", series=series)
    return Chart("seconds_per_step.png", "Seconds a step", (panel,))


def _pixels(setting: Setting, size: int) -> int:
    width, height = fitted(setting.content.size, size)
    return width * height


def sections(setting: Setting) -> Iterator[Section]:
    """Measure every row about seconds."""
    for size in setting.extent.step_sizes:
        yield step_section(setting, size)
    yield pixel_section(setting)
