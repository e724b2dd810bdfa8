"""`python -m tests.chaos.short_jobs`: a worker whose network is narrow; all else of it is real.

`SHORT_JOBS_STEP_SECONDS` makes each step last longer and be logged.
"""

import os
import time
from contextlib import closing

import structlog

from nst_core.engine import stylize
from tests.networks import narrow_network
from worker import device, runner
from worker.cli import worker_command

STEP_SECONDS = float(os.environ.get("SHORT_JOBS_STEP_SECONDS", "0"))

logger = structlog.get_logger(__name__)


def paced(*pictures, **options):
    with closing(stylize(*pictures, **options)) as steps:
        for progress in steps:
            time.sleep(STEP_SECONDS)
            logger.info("step_made", step=progress.step)
            yield progress


def main() -> None:
    device.load_network = lambda *_, **__: narrow_network()
    if STEP_SECONDS:
        runner.stylize = paced
    worker_command()


if __name__ == "__main__":
    main()
