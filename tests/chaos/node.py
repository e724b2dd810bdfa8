"""`python -m tests.chaos.node`: a worker as in production, but quick, watched and short-lived.

The engine is the real one with a narrow network; each step takes a little longer than it must, so
that many jobs can run side by side on a small machine.
"""

import os
import time
from collections.abc import Generator
from contextlib import closing
from functools import cache, wraps
from typing import Any

from nst_core.params import StyleParams
from nst_core.progress import Progress
from nst_jobs import lifecycle, logs, retries, sweeper
from nst_jobs.records import Job
from nst_jobs.settings import read_settings
from tests.chaos import orders as numbers
from tests.chaos.failpoints import Failpoints
from tests.chaos.journal import Journal
from tests.chaos.orders import POISON_SEED, Orders, read_orders
from tests.chaos.recorder import Recorder
from tests.networks import narrow_network
from worker import process, runner
from worker.device import Device


def main() -> None:
    """Serve jobs until told to stop, or made to."""
    settings, orders = read_settings(), read_orders()
    logs.configure(settings.log_format)
    journal = Journal(orders.journal)
    recorder = Recorder(journal)
    recorder.install()
    hurry(recorder)
    Failpoints(orders, journal).install()
    break_guards(orders)
    process.run(settings)


def hurry(recorder: Recorder) -> None:
    """Make everything that takes seconds in production short, and nothing else different."""
    sweeper.SWEEP_SECONDS = numbers.SWEEP_SECONDS
    retries.BACKOFF_SECONDS = numbers.BACKOFF_SECONDS
    runner.CHECKPOINT_SECONDS = numbers.CHECKPOINT_SECONDS
    runner.stylize = paced(runner.stylize, recorder)
    Device.network = property(lambda _device: _network())


def break_guards(orders: Orders) -> None:
    """Take away what a negative control is to miss."""
    if orders.broken == "fencing":
        lifecycle._held = lambda claim: (Job.id == claim.job_id,)
    if orders.broken == "sweeper":
        sweeper.start = lambda *_: None


def paced(original: Any, recorder: Recorder) -> Any:
    """Return the engine with a pause at each step, journalled; a poisonous job ends the process."""

    @wraps(original)
    def stylize(
        content: object, styles: object, params: StyleParams, **options: Any
    ) -> Generator[Progress]:
        if params.seed == POISON_SEED:
            recorder.note("poisoned")
            os._exit(1)
        resume = options.get("resume")
        recorder.note("resumed", step=resume.step if resume else 0)
        with closing(original(content, styles, params, **options)) as steps:
            for progress in steps:
                time.sleep(numbers.STEP_SECONDS)
                recorder.note("stepped", step=progress.step)
                yield progress

    return stylize


@cache
def _network() -> Any:
    return narrow_network()


if __name__ == "__main__":
    main()
