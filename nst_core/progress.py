"""`Progress`: what the engine tells its caller after every step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nst_core.checkpoint import Checkpoint
from nst_core.iteration import Iteration
from nst_core.rendering import Rendering


@dataclass(frozen=True)
class Losses:
    """The loss before the step, and the weighted terms that it is the sum of."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class ScaleProgress:
    """Which size of the pyramid the step was made at; `index` counts from 1, edges in pixels.

    `tiles` is how many pieces the picture was taken in for want of memory; 1 is the whole.
    """

    index: int
    count: int
    width: int
    height: int
    tiles: int


@dataclass(frozen=True)
class Progress:
    """The state of a stylisation after a step.

    `step` counts from 1 over all scales. `total_steps` shrinks when `tolerance` ends a scale early;
    the last progress is the one whose `step` equals it. On a GPU `losses` may be up to ten steps
    old. `picture` (RGB, or RGBA for a photo with transparent parts), `samples` (the same as uint16,
    (H, W, 3) or (H, W, 4)) and `checkpoint` are made when called, out of the engine's present
    state: call them before the generator's next step.
    """

    step: int
    total_steps: int
    scale: ScaleProgress
    losses: Losses
    picture: Callable[[], Image.Image] = field(repr=False)
    samples: Callable[[], NDArray[np.uint16]] = field(repr=False)
    checkpoint: Callable[[], Checkpoint] = field(repr=False)

    @classmethod
    def after(cls, state: Iteration, rendering: Rendering, *, fingerprint: str, tiles: int) -> Self:
        """Return the progress of a run that stands at `state`."""
        return cls(
            step=state.step,
            total_steps=state.total_steps,
            scale=ScaleProgress(
                index=state.scale_index + 1,
                count=len(state.plan),
                width=state.scale.width,
                height=state.scale.height,
                tiles=tiles,
            ),
            losses=Losses(**state.losses),
            picture=lambda: rendering.picture(state.shown),
            samples=lambda: rendering.samples(state.shown),
            checkpoint=lambda: state.checkpoint(fingerprint),
        )
