"""The optimisation loop: pictures and parameters in, one progress a step out.

Image style transfer after Gatys, Ecker & Bethge (CVPR 2016), coarse to fine after Gatys et al.
(CVPR 2017, "Controlling Perceptual Factors"). The engine yields; it never logs, stores, sleeps or
knows a job.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from PIL import Image

from nst_core import checkpoint as checkpoints
from nst_core import schedule
from nst_core.checkpoint import Checkpoint
from nst_core.errors import OutOfMemory
from nst_core.iteration import Iteration
from nst_core.objective import Objective, weighted_layers
from nst_core.params import StyleParams
from nst_core.precision import convolution_dtype
from nst_core.progress import Progress
from nst_core.vgg import Vgg


def stylize(
    content: Image.Image,
    styles: Sequence[Image.Image],
    params: StyleParams,
    *,
    network: Vgg,
    resume: Checkpoint | None = None,
) -> Generator[Progress]:
    """Redraw `content` in the manner of `styles`, yielding after every step.

    The generator ends after the last step; its `step` then equals its `total_steps`. Resumed, it
    goes on with the step after the checkpoint's, and the pictures are those of a run that was never
    interrupted, bit for bit, on the same device with the same number of threads. Resumed from a
    last step, it yields that step once more.

    Args:
        content: RGB; gives the result its layout and aspect ratio.
        styles: RGB, one or more; give it colours and brush.
        params: how to go about it.
        network: the feature extractor; its device is where the work is done.
        resume: where an earlier run of the same pictures, parameters and weights stood.

    Raises:
        InvalidParams: the parameters do not fit the number of styles.
        WeightsUnavailable: the network lacks a layer that the loss needs.
        CheckpointMismatch: `resume` belongs to another run.
        OutOfMemory: the device could not hold the optimisation.
        Diverged: the loss became infinite or not a number.
    """
    params.blend_for(len(styles))
    for layers in weighted_layers(params):
        network.require(layers)
    identity = checkpoints.fingerprint(content, styles, params, weights=network.name)
    plan = schedule.plan(*content.size, params)
    with _memory_errors():
        network = network.to(dtype=convolution_dtype(params.precision, network.device))
        if resume is None:
            state = Iteration.start(content, styles, params, plan=plan, device=network.device)
        else:
            resume.require(identity)
            state = Iteration.restore(resume, params, plan=plan, device=network.device)
    if state.finished:
        yield Progress.after(state, identity)
    while not state.finished:
        with _memory_errors():
            state.enter_scale()
            objective = Objective(content, styles, params, network=network, scale=state.scale)
        while not state.scale_ended:
            with _memory_errors(), _deterministic(network.device):
                state.advance(objective)
            yield Progress.after(state, identity)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn every way in which torch and Python run out of memory into `OutOfMemory`."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory() from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch's CPU allocator has no class for it
            raise
        raise _out_of_memory() from error


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "the device ran out of memory", hint="Choose a smaller size, or a device with more memory."
    )


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
