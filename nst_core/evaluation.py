"""`Evaluation`: a scale's objective that stays within the device's memory.

Owns the choice between the whole picture and tiles, and what happens when memory runs out all the
same. The numbers are `estimate`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from nst_core import estimate
from nst_core.errors import OutOfMemory
from nst_core.objective import Objective, Terms
from nst_core.params import StyleParams
from nst_core.schedule import Scale
from nst_core.sources import Sources
from nst_core.targets import TargetCache
from nst_core.vgg import Vgg


class Evaluation:
    """Evaluates pictures of one scale, in tiles when they do not fit whole.

    `edge` is the tiles' longest edge in pixels. It only ever shrinks, and belongs into a
    checkpoint: with other tiles the last bits of a gradient differ.
    """

    def __init__(
        self,
        sources: Sources,
        params: StyleParams,
        *,
        network: Vgg,
        scale: Scale,
        edge: int,
        cache: TargetCache | None,
    ) -> None:
        self.edge = edge
        self._sources = sources
        self._params = params
        self._network = network
        self._scale = scale
        self._cache = cache
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
            self._objective = Objective(
                self._sources,
                self._params,
                network=self._network,
                scale=self._scale,
                tile_edge=self.edge,
                cache=self._cache,
            )
        return self._objective

    def _shrink(self) -> None:
        """Go over to tiles of half the edge; called while an `OutOfMemory` is handled."""
        smaller = min(self.edge, max(self._scale.width, self._scale.height)) // 2
        if smaller < estimate.SMALLEST_TILE:
            raise
        self.edge = smaller
        self._objective = None
        if self._network.device.type == "cuda":
            torch.cuda.empty_cache()


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


#: Torch's CPU allocator and oneDNN have no class for it.
_SIGNS = ("can't allocate memory", "could not create a primitive", "could not create a memory")


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "the device ran out of memory", hint="Choose a smaller size, or a device with more memory."
    )
