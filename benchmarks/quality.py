"""Rows about time to quality: the engine against the published coarse-to-fine schedule (Crowson).

Both run at once, a block of steps each in turn, so that a noisy machine slows both. Their pictures
are taken between the blocks and judged by one ruler; neither counts as time.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import islice
from typing import Protocol

from PIL import Image

from benchmarks import baseline
from benchmarks.charts import Chart, Panel
from benchmarks.distances import Distances, Ruler
from benchmarks.report import Goal, Row, Section
from benchmarks.setting import Setting
from benchmarks.timing import clock
from nst_core.engine import stylize
from nst_core.params import StyleParams

TIME_TO_QUALITY = Goal("at most", 0.25)
_WORDS = {"content": "content", "gram": "Gram", "wasserstein": "W2"}


class Stepped(Protocol):
    """What both engines yield."""

    @property
    def step(self) -> int: ...  # noqa: D102 - the number of the step, from 1

    def picture(self) -> Image.Image: ...  # noqa: D102 - the picture after it


@dataclass(frozen=True)
class Snapshot:
    """How good a run's picture was, and after how much.

    `pixel_steps` counts the pixels of every step, a block's by the size that it ended at.
    """

    step: int
    seconds: float
    pixel_steps: int
    distances: Distances


class Trace:
    """A run that is pulled a block at a time."""

    def __init__(self, steps: Iterator[Stepped], ruler: Ruler, setting: Setting) -> None:
        self.snapshots: list[Snapshot] = []
        self._steps = steps
        self._ruler = ruler
        self._setting = setting
        self._seconds = 0.0
        self._pixel_steps = 0

    def advance(self) -> bool:
        """Take a block of steps and judge the picture; False when the run was over before."""
        started = clock(self._setting.device)
        block = list(islice(self._steps, self._setting.extent.steps_a_snapshot))
        self._seconds += clock(self._setting.device) - started
        if not block:
            return False
        picture = block[-1].picture()
        self._pixel_steps += len(block) * picture.width * picture.height
        distances = self._ruler.measure(picture)
        self.snapshots.append(Snapshot(block[-1].step, self._seconds, self._pixel_steps, distances))
        return True

    @property
    def last(self) -> Snapshot:
        """The end of the run."""
        return self.snapshots[-1]

    def first_within(self, goal: Distances) -> Snapshot | None:
        """Return the first snapshot with no distance above the goal's."""
        return next((shot for shot in self.snapshots if shot.distances.within(goal)), None)

    def first_at(self, name: str, most: float) -> Snapshot | None:
        """Return the first snapshot with this one distance not above `most`."""
        reached = (shot for shot in self.snapshots if getattr(shot.distances, name) <= most)
        return next(reached, None)


def sections(setting: Setting) -> Iterator[Section]:
    """Measure the time to the quality at which the published schedule ends."""
    _warm_up(setting)
    ours, theirs = _race(setting)
    rows = [_row_of_all(ours, theirs)]
    rows += [_row_of_one(ours, theirs, field.name) for field in fields(Distances)]
    rows += [_row_of_work(ours, theirs), _row_of_ends(ours, theirs)]
    steps = "/".join(str(count) for count in setting.extent.baseline_steps)
    yield Section(
        title=f"Time to quality at {setting.extent.quality_size} px",
        explanation="Seconds until the picture is as near to photo and style as the last one of "
        f"the published coarse-to-fine schedule (Crowson, {baseline.SOURCE}; written anew, "
        f"float32, {steps} steps), over that schedule's seconds. Setting up counts, loading "
        "and judging do not. The engine runs its default preset. Work to quality leaves out how "
        "quick a step is.",
        rows=tuple(rows),
        charts=(_chart(ours, theirs),),
    )


def _race(setting: Setting) -> tuple[Trace, Trace]:
    size = setting.extent.quality_size
    ruler = Ruler(setting.content, setting.style, setting.convs, long_edge=size)
    params = _params(setting, setting.extent.engine_steps)
    run = stylize(setting.content, [setting.style], params, network=setting.network)
    with closing(run) as steps:
        theirs = Trace(_baseline(setting, setting.extent.baseline_steps), ruler, setting)
        ours = Trace(steps, ruler, setting)
        while any([theirs.advance(), ours.advance()]):
            pass
    return ours, theirs


def _warm_up(setting: Setting) -> None:
    """Let both take a step at each size, so that neither pays for torch's first calls."""
    scales = len(setting.extent.baseline_steps)
    params = _params(setting, scales)
    for run in (
        _baseline(setting, (1,) * scales),
        stylize(setting.content, [setting.style], params, network=setting.network),
    ):
        for _ in run:
            pass


def _baseline(setting: Setting, steps: tuple[int, ...]) -> Iterator[Stepped]:
    scales = baseline.published_scales(setting.extent.quality_size, steps)
    return baseline.stylize(setting.content, setting.style, setting.convs, scales=scales)


def _params(setting: Setting, steps: int | None) -> StyleParams:
    size = setting.extent.quality_size
    return StyleParams(size=size) if steps is None else StyleParams(size=size, steps=steps)


def _row_of_all(ours: Trace, theirs: Trace) -> Row:
    reached = ours.first_within(theirs.last.distances)
    name, case = "time to quality", "all three distances"
    if reached is None:
        near = min(ours.snapshots, key=lambda shot: shot.distances.excess(theirs.last.distances))
        measured = f"never; nearest {_after(near)}: {near.distances}"
        return Row(name, case, None, measured, TIME_TO_QUALITY)
    measured = f"{_after(reached)} ÷ {_after(theirs.last)}"
    return Row(name, case, reached.seconds / theirs.last.seconds, measured, TIME_TO_QUALITY)


def _row_of_one(ours: Trace, theirs: Trace, name: str) -> Row:
    most = getattr(theirs.last.distances, name)
    reached = ours.first_at(name, most)
    case = f"{_WORDS[name]} alone, {most:.4f}"
    if reached is None:
        least = min(getattr(shot.distances, name) for shot in ours.snapshots)
        return Row("time to quality", case, None, f"never: at least {least:.4f}")
    measured = f"{_after(reached)} ÷ {_after(theirs.last)}"
    return Row("time to quality", case, reached.seconds / theirs.last.seconds, measured)


def _row_of_work(ours: Trace, theirs: Trace) -> Row:
    """Tell how much of the gain is in fewer or smaller steps, and not in quicker ones."""
    reached = ours.first_within(theirs.last.distances)
    name, case = "work to quality", "pixels × steps, all three"
    if reached is None:
        return Row(name, case, None, "never")
    measured = f"{reached.pixel_steps / 1e6:.2f} ÷ {theirs.last.pixel_steps / 1e6:.2f} million"
    return Row(name, case, reached.pixel_steps / theirs.last.pixel_steps, measured)


def _row_of_ends(ours: Trace, theirs: Trace) -> Row:
    ratio = ours.last.seconds / theirs.last.seconds
    measured = (
        f"ours {_after(ours.last)}: {ours.last.distances}; "
        f"theirs {_after(theirs.last)}: {theirs.last.distances}"
    )
    return Row("whole run over whole run", "default preset", ratio, measured)


def _after(shot: Snapshot) -> str:
    return f"{shot.seconds:.2f} s ({shot.step} steps)"


def _chart(ours: Trace, theirs: Trace) -> Chart:
    panels = []
    for name, word in _WORDS.items():
        series = {
            label: [(shot.seconds, getattr(shot.distances, name)) for shot in trace.snapshots]
            for label, trace in (("this engine", ours), ("published schedule", theirs))
        }
        panels.append(Panel("seconds", f"{word} distance", series, logarithmic=False))
    return Chart("time_to_quality.png", "Time to quality", tuple(panels))
