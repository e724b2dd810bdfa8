"""The optimisation loop: pictures and parameters in, one progress a step out.

Image style transfer after Gatys, Ecker & Bethge (CVPR 2016), coarse to fine after Gatys et al.
(CVPR 2017, "Controlling Perceptual Factors"). The engine yields; it never logs, stores, sleeps or
knows a job.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from PIL import Image

from nst_core import machine, schedule
from nst_core.checkpoint import Checkpoint
from nst_core.estimate import keeps_freed
from nst_core.evaluation import Evaluation, fitting, memory_errors
from nst_core.iteration import Iteration
from nst_core.objective import Objective, weighted_layers
from nst_core.params import StyleParams
from nst_core.precision import convolution_dtype
from nst_core.progress import Progress
from nst_core.rendering import Rendering
from nst_core.sources import Sources
from nst_core.targets import TargetCache
from nst_core.vgg import Vgg


def stylize(  # noqa: PLR0913 - pictures, what to do, and what to do it with
    content: Image.Image,
    styles: Sequence[Image.Image],
    params: StyleParams,
    *,
    network: Vgg,
    masks: Sequence[Image.Image] = (),
    memory_bytes: int | None = None,
    cache: TargetCache | None = None,
    resume: Checkpoint | None = None,
) -> Generator[Progress]:
    """Redraw `content` in the manner of `styles`, yielding after every step.

    The generator ends after the last step; its `step` then equals its `total_steps`. Resumed, it
    goes on with the step after the checkpoint's, and the pictures are those of a run that was never
    interrupted, bit for bit, on the same device with the same number of threads. Resumed from a
    last step, it yields that step once more.

    Args:
        content: RGB or RGBA; gives the result its layout, aspect ratio and transparency.
        styles: RGB or RGBA, one or more; give it colours and brush.
        params: how to go about it.
        network: the feature extractor; its device is where the work is done.
        masks: L, one a style, of any size: where on the content it applies (white) and where not.
        memory_bytes: what the stylisation may take beside the network. Where a scale needs more,
            it is computed in tiles, with the same gradient. None leaves it at the device's word.
        cache: keeps the styles' statistics from one call to the next.
        resume: where an earlier run of the same pictures, parameters and weights stood.

    Raises:
        InvalidParams: the parameters do not fit the number of styles.
        InvalidMask: the masks do not.
        WeightsUnavailable: the network lacks a layer that the loss needs.
        CheckpointMismatch: `resume` belongs to another run.
        OutOfMemory: the device could not hold the optimisation, even in small tiles.
        Diverged: the loss became infinite or not a number, however small the steps.
    """
    sources = Sources.prepare(content, styles, masks, params)
    for layers in weighted_layers(params):
        network.require(layers)
    identity = sources.fingerprint(params, weights=network.name)
    rendering = Rendering(sources, params)
    plan = schedule.plan(*content.size, params)
    with memory_errors():
        network = network.to(dtype=convolution_dtype(params.precision, network.device))
        if resume is None:
            state = Iteration.start(sources, params, plan=plan, device=network.device)
        else:
            resume.require(identity)
            state = Iteration.restore(resume, params, plan=plan, device=network.device)
    if state.finished:
        yield Progress.after(state, rendering, fingerprint=identity, tiles=1)
    while not state.finished:
        with memory_errors():
            state.enter_scale(sources.content.picture)
        scale = state.scale
        make = partial(Objective, sources, params, network=network, scale=scale, cache=cache)
        evaluation = Evaluation(
            make,
            edge=min(state.tile_edge, fitting(params, scale, network, memory_bytes)),
            longest=max(scale.width, scale.height),
        )
        while not state.scale_ended:
            machine.keep_freed_memory(keeps_freed(scale, evaluation.edge))
            with memory_errors(), _deterministic(network.device):
                state.advance(evaluation)
            state.tile_edge = evaluation.edge
            yield Progress.after(state, rendering, fingerprint=identity, tiles=evaluation.tiles)
        machine.give_back_freed_memory()


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Have cuDNN use only algorithms that give the same bits each time; a CPU's always do.

    VGG19's other operations are deterministic on CUDA as well: pooling windows do not overlap.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
