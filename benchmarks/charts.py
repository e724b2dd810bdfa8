"""Charts: what they show, and how they are drawn; drawing needs the `bench` extra."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

#: Lines by their label, each of points (x, y).
Series = Mapping[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    x: str
    y: str
    series: Series
    logarithmic: bool = True


@dataclass(frozen=True)
class Chart:
    """Panels side by side, in one file."""

    file_name: str
    title: str
    panels: tuple[Panel, ...]


def can_draw() -> bool:
    """Return whether matplotlib is here."""
    return find_spec("matplotlib") is not None


def draw(chart: Chart, folder: Path) -> None:
    """Write the chart as a PNG into `folder`."""
    import matplotlib as mpl  # noqa: PLC0415 - the numbers are had without it
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    mpl.use("Agg")
    figure = Figure(figsize=(5 * len(chart.panels) + 1, 4), layout="constrained")
    figure.suptitle(chart.title)
    for place, panel in enumerate(chart.panels, 1):
        axes = figure.add_subplot(1, len(chart.panels), place)
        for label, points in panel.series.items():
            axes.plot(*zip(*sorted(points), strict=True), marker=".", label=label)
        axes.set(xlabel=panel.x, ylabel=panel.y)
        if panel.logarithmic:
            axes.set(xscale="log", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / chart.file_name, dpi=110)
