"""Tiles: how a picture is cut so that its exact gradient can be had piece by piece.

Pure arithmetic on numbers. A tile owns a part of the positions of every layer, and looks at a
window around it that is wide enough for these positions to come out as in the whole picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nst_core.layers import deepest, downsampling, reach


@dataclass(frozen=True)
class Span:
    """Pixels from `start` up to, not including, `stop`, along one edge."""

    start: int
    stop: int

    @property
    def slice(self) -> slice:
        """The same for indexing."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Tile:
    """The pixels that a tile owns and the window of pixels that it looks at."""

    rows: Span
    columns: Span
    window_rows: Span
    window_columns: Span

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of pixels that the tile looks at."""
        return self.window_rows.slice, self.window_columns.slice

    @property
    def area(self) -> int:
        """The pixels of the window."""
        rows, columns = self.window_rows, self.window_columns
        return (rows.stop - rows.start) * (columns.stop - columns.start)

    def owned(self, layer: str) -> tuple[slice, slice]:
        """Return which rows and columns of a layer, computed on the window, the tile owns."""
        step = downsampling(layer)
        return (
            _within(self.rows, self.window_rows, step),
            _within(self.columns, self.window_columns, step),
        )


def cut(width: int, height: int, edge: int, layers: Sequence[str]) -> tuple[Tile, ...]:
    """Return tiles of at most `edge` × `edge` owned pixels that cover a picture.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        edge: is rounded down to whole positions of the deepest layer, of which it has at least one.
        layers: what is to be computed on the tiles.
    """
    step = downsampling(deepest(tuple(layers)))
    halo = -(-reach(deepest(tuple(layers))) // step) * step
    return tuple(
        Tile(rows, columns, _widen(rows, halo, height), _widen(columns, halo, width))
        for rows in _spans(height, edge, step)
        for columns in _spans(width, edge, step)
    )


def _spans(length: int, edge: int, step: int) -> list[Span]:
    """Cut a length into spans of like size that begin at whole positions.

    What a whole number of positions leaves over belongs to the last span.
    """
    positions = max(1, length // step)
    count = -(-positions // max(1, edge // step))
    starts = [positions * index // count * step for index in range(count)]
    return [Span(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _widen(span: Span, halo: int, length: int) -> Span:
    return Span(max(0, span.start - halo), min(length, span.stop + halo))


def _within(owned: Span, window: Span, step: int) -> slice:
    """Return the positions of the owned pixels; the picture's last tile owns what is left over."""
    start = (owned.start - window.start) // step
    if owned.stop == window.stop:
        return slice(start, None)
    return slice(start, start + (owned.stop - owned.start) // step)
