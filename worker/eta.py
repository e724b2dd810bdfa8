"""How long an attempt will still take: pure arithmetic on the plan and the time so far."""

from collections.abc import Sequence

from nst_core.schedule import Scale, pixel_steps


def eta_seconds(
    plan: Sequence[Scale], *, first_step: int, step: int, total_steps: int, elapsed: float
) -> float | None:
    """Return the seconds left; None while nothing has been measured.

    `first_step` steps were done before the `elapsed` seconds began.
    """
    done = pixel_steps(plan, step) - pixel_steps(plan, first_step)
    if done <= 0 or elapsed <= 0:
        return None
    left = pixel_steps(plan, total_steps) - pixel_steps(plan, step)
    return round(left * elapsed / done, 1)
