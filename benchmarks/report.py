"""Sections of rows: how a result is said, on the terminal and in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from benchmarks.charts import Chart

COLUMNS = ("row", "case", "ratio", "goal", "verdict", "measured")


@dataclass(frozen=True)
class Goal:
    """What a ratio should be; `within` is the share by which it may differ from 1."""

    kind: Literal["at most", "at least", "within"]
    bound: float

    def met(self, ratio: float) -> bool:
        """Return whether the ratio is as it should be."""
        if self.kind == "at most":
            return ratio <= self.bound
        if self.kind == "at least":
            return ratio >= self.bound
        return abs(ratio - 1) <= self.bound

    def __str__(self) -> str:
        if self.kind == "within":
            return f"1 ± {self.bound:.2f}"
        return f"{'≤' if self.kind == 'at most' else '≥'} {self.bound:.2f}"


@dataclass(frozen=True)
class Row:
    """One ratio; None where it could not be had, and `measured` says why."""

    name: str
    case: str
    ratio: float | None
    measured: str
    goal: Goal | None = None

    @property
    def verdict(self) -> str:
        """Whether the goal was met; a dash where there is none."""
        if self.goal is None:
            return "–"
        return "met" if self.ratio is not None and self.goal.met(self.ratio) else "not met"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row in words, one for each of `COLUMNS`."""
        ratio = "–" if self.ratio is None else f"{self.ratio:.2f}"
        goal = "–" if self.goal is None else str(self.goal)
        return (self.name, self.case, ratio, goal, self.verdict, self.measured)


@dataclass(frozen=True)
class Section:
    """Rows that were measured together, and what a reader must know about them."""

    title: str
    explanation: str
    rows: tuple[Row, ...]
    charts: tuple[Chart, ...] = ()


def as_table(section: Section) -> Table:
    """Return a section for the terminal."""
    table = Table(
        title=section.title,
        caption=section.explanation,
        title_justify="left",
        caption_justify="left",
    )
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "ratio" else "left")
    for row in section.rows:
        style = {"met": "green", "not met": "red"}.get(row.verdict, "")
        cells = row.cells
        table.add_row(*cells[:4], f"[{style}]{cells[4]}[/]" if style else cells[4], cells[5])
    return table


def write(
    folder: Path, sections: Sequence[Section], facts: Mapping[str, str], *, drawn: bool
) -> Path:
    """Write `engine.md` into `folder`; return its path."""
    parts = ["# The engine, measured", _facts(facts)]
    parts += [_markdown(section, drawn=drawn) for section in sections]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "engine.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _facts(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _markdown(section: Section, *, drawn: bool) -> str:
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    lines += [" | ".join(row.cells) for row in section.rows]
    table = "\n".join(f"| {line} |" for line in lines)
    pictures = [f"![{chart.title}]({chart.file_name})" for chart in section.charts if drawn]
    return "\n\n".join([f"## {section.title}", section.explanation, table, *pictures])
