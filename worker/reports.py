"""What is told of a step: the progress that clients see, and the losses that are kept."""

from dataclasses import asdict
from typing import Any

import torch

from nst_core.progress import Progress
from nst_jobs.losses import StepLosses


def progress_of(progress: Progress, *, eta_seconds: float | None) -> dict[str, Any]:
    """Return a job's progress after a step."""
    return {
        "step": progress.step,
        "total_steps": progress.total_steps,
        "fraction": round(progress.step / progress.total_steps, 4),
        "eta_seconds": eta_seconds,
        "scale": asdict(progress.scale),
        "losses": asdict(progress.losses),
        "threads": torch.get_num_threads(),
    }


def losses_of(progress: Progress) -> StepLosses:
    """Return the row of a step."""
    return StepLosses(progress.step, progress.scale.index, **asdict(progress.losses))
