"""The engine, measured: prints a table for every question and writes a report.

Run it as `python -m benchmarks.engine [--quick] [--device cuda:0]`, or by `make bench`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch
from rich.console import Console

from benchmarks import charts, machine, memory, quality, report, speed
from benchmarks.report import Section
from benchmarks.setting import FULL, QUICK, TINY, Setting, prepare

QUESTIONS: dict[str, Callable[[Setting], Iterator[Section]]] = {
    "speed": speed.sections,
    "quality": quality.sections,
    "memory": memory.sections,
}
_EXTENTS = {"full": FULL, "quick": QUICK, "tiny": TINY}
_WIDTH = 170


@click.command()
@click.option("--quick", "extent", flag_value="quick", help="Small pictures, few steps.")
@click.option("--tiny", "extent", flag_value="tiny", help="Only see that everything runs.")
@click.option("--only", type=click.Choice(list(QUESTIONS)), multiple=True, help="Part of it.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, …")
@click.option(
    "--weights",
    envvar="NST_TEST_WEIGHTS",
    default="random",
    show_default=True,
    help="imagenet, random, or the path of a weights file.  [env: NST_TEST_WEIGHTS]",
)
@click.option(
    "--images",
    envvar="NST_TEST_IMAGES",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with astronaut.png and starry_night.png; else the samples.  "
    "[env: NST_TEST_IMAGES]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs/benchmarks"),
    show_default=True,
    help="Folder for engine.md and the charts.",
)
def main(
    extent: str | None,
    *,
    only: tuple[str, ...],
    device: str,
    weights: str,
    images: Path | None,
    out: Path,
) -> None:
    """Measure the engine; every row is a ratio of two things measured in the same run."""
    console = Console()
    console.width = max(console.width, _WIDTH)
    setting = prepare(_EXTENTS[extent or "full"], device=device, weights=weights, images=images)
    facts = {**machine.facts(torch.device(device)), **setting.facts}
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False)
    sections = []
    for question in only or QUESTIONS:
        for section in QUESTIONS[question](setting):
            console.print(report.as_table(section))
            sections.append(section)
    _write(console, out, sections, facts)


def _write(console: Console, out: Path, sections: list[Section], facts: dict[str, str]) -> None:
    drawn = charts.can_draw()
    if drawn:
        for chart in (chart for section in sections for chart in section.charts):
            charts.draw(chart, out)
    else:
        console.print("matplotlib is not here (pip install '.[bench]'): no charts")
    console.print(f"wrote {report.write(out, sections, facts, drawn=drawn)}")


if __name__ == "__main__":
    main()
