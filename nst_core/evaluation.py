"""`Evaluation`: a scale's objective that stays within the device's memory.

Owns the choice between the whole picture and tiles, and what happens when memory runs out all the
same. The numbers are `estimate`'s.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from nst_core.errors import OutOfMemory
from nst_core.estimate import SMALLEST_TILE, WHOLE, Device, fitting_edge
from nst_core.objective import Objective, Terms
from nst_core.params import StyleParams
from nst_core.schedule import Scale
from nst_core.vgg import Vgg

#: How torch's CPU allocator and oneDNN say it; they have no class for it.
_SIGNS = ("can't allocate memory", "could not create a primitive", "could not create a memory")


class Evaluation:
    """Evaluates pictures of one scale, in smaller tiles each time that memory runs out.

    `make` returns the scale's objective for a `tile_edge`. `edge` is what they have now, in
    pixels; it only ever shrinks, and belongs into a checkpoint: with other tiles the last bits of a
    gradient differ.
    """

    def __init__(self, make: Callable[..., Objective], *, edge: int, longest: int) -> None:
        self.edge = edge
        self._longest = longest
        self._make = make
        self._objective: Objective | None = None

    @property
    def tiles(self) -> int:
        """How many pieces the picture was taken in."""
        return self._objective.tiles if self._objective else 1

    def __call__(self, pixels: Tensor) -> Terms:
        """Return the loss of pixels and leave its gradient on them.

        Raises:
            OutOfMemory: even the smallest tiles do not fit.
        """
        while True:
            try:
                with memory_errors():
                    return self._at_hand().evaluate(pixels)
            except OutOfMemory:
                self._shrink()

    def _at_hand(self) -> Objective:
        if self._objective is None:
            self._objective = self._make(tile_edge=self.edge)
        return self._objective

    def _shrink(self) -> None:
        """Go over to tiles of half the edge; called while an `OutOfMemory` is handled."""
        smaller = min(self.edge, self._longest) // 2
        if smaller < SMALLEST_TILE:
            raise
        self.edge = smaller
        self._objective = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def fitting(params: StyleParams, scale: Scale, network: Vgg, memory_bytes: int | None) -> int:
    """Return the edge of the tiles in which a scale stays within a device's memory, in pixels."""
    if memory_bytes is None:
        return WHOLE
    kind: Literal["cpu", "cuda"] = "cpu" if network.device.type == "cpu" else "cuda"
    half = network.dtype == torch.bfloat16
    return fitting_edge(params, scale, Device(kind, memory_bytes, bfloat16=half))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn every way in which torch and Python run out of memory into `OutOfMemory`."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory() from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _SIGNS):
            raise
        raise _out_of_memory() from error


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "the device ran out of memory", hint="Choose a smaller size, or a device with more memory."
    )
