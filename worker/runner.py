"""The attempt runner: one claimed job, from its pictures to its result.

Pulls the engine step by step and keeps the lease, the snapshots and the checkpoints beside it.
Owns the order of durable effects: bytes first, then the row that points at them.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from PIL import Image
from sqlalchemy.exc import SQLAlchemyError

from nst_core import images, schedule
from nst_core.checkpoint import Checkpoint
from nst_core.engine import stylize
from nst_core.errors import CheckpointMismatch, NstError
from nst_core.estimate import Device as DeviceShape
from nst_core.estimate import fitting_edge, gigaflops
from nst_core.masks import read_mask
from nst_core.params import StyleParams
from nst_core.progress import Progress
from nst_core.results import encode_result
from nst_core.schedule import Scale
from nst_jobs import artifacts, lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, Draining, FileMissing, LeaseLost
from nst_jobs.lifecycle import Claim
from nst_jobs.records import Artifact, ArtifactKind, Status
from nst_jobs.storage import Storage
from worker.device import Device
from worker.eta import eta_seconds
from worker.lease import STALL_SECONDS, Lease
from worker.reports import losses_of, progress_of
from worker.snapshots import Snapshots

CHECKPOINT_SECONDS = 20.0
#: Thousand millions of operations a second that any device makes which is not broken.
_LEAST_GIGAFLOPS = 5.0
#: What the API let in is within the limits already.
_NO_LIMITS = images.Limits(max_bytes=2**40, max_pixels=2**40, max_edge=2**20, min_edge=1)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Workplace:
    """What an attempt works with."""

    database: Database
    storage: Storage
    device: Device


@dataclass(frozen=True)
class _Pictures:
    """The decoded pictures of a job; there is a mask for each style, or none."""

    content: Image.Image
    styles: Sequence[Image.Image]
    masks: Sequence[Image.Image]


def run_attempt(claim: Claim, workplace: Workplace, lease: Lease) -> bool:
    """Run one attempt to its end and record what became of it.

    Returns:
        Whether this process may run another: not when it drains, nor after an error that may lie
        in the process itself, such as a device whose memory is in disorder.
    """
    log = logger.bind(job_id=claim.job_id, attempt=claim.attempt)
    log.info("attempt_started")
    try:
        return _run(claim, workplace, lease, log)
    except LeaseLost as lost:  # in the run, or when its end was to be recorded
        log.warning("lease_lost", error=lost.message)
        return True


def _run(claim: Claim, workplace: Workplace, lease: Lease, log: Any) -> bool:  # noqa: ANN401 - structlog types it so
    try:
        with lease:
            _stylize(claim, workplace, lease)
        log.info("job_succeeded")
    except LeaseLost:
        raise
    except Cancelled:
        lease.finish(lambda session: lifecycle.finish_cancelled(session, claim))
        log.info("job_cancelled")
    except Draining:
        lease.finish(lambda session: lifecycle.release(session, claim))
        log.info("job_released")
        return False
    except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the job must hear of it
        known = error if isinstance(error, NstError) else _unexpected(error)
        if _record_failure(lease, known).terminal:
            _tidy(claim, workplace)
        return not known.retryable
    _tidy(claim, workplace)
    return True


def _tidy(claim: Claim, workplace: Workplace) -> None:
    """Discard what the ended job no longer needs; if that fails, the sweeper will."""
    try:
        artifacts.discard_checkpoints(workplace.database, workplace.storage, claim.job_id)
    except (SQLAlchemyError, NstError) as error:
        logger.warning("tidying_postponed", job_id=claim.job_id, error=str(error))


def _record_failure(lease: Lease, known: NstError) -> Status:
    claim = lease.claim
    status = lease.finish(lambda session: lifecycle.fail(session, claim, known))
    logger.warning(
        "attempt_failed",
        job_id=claim.job_id,
        attempt=claim.attempt,
        code=known.code,
        error=known.message,
        status=status,
        exc_info=known.__cause__,
    )
    return status


def _unexpected(error: Exception) -> NstError:
    known = NstError(
        f"{type(error).__name__}: {error}", hint="The worker's log has the whole story."
    )
    known.__cause__ = error
    return known


def _stylize(claim: Claim, workplace: Workplace, lease: Lease) -> None:
    """Pull the engine to its last step, with each step's duties, and store the result."""
    params = StyleParams.model_validate(claim.params)
    device = workplace.device
    pictures = _load_pictures(claim, workplace)
    attempt = _Attempt(claim, workplace, lease, params, pictures.content.size)
    lease.expect_steps_within(STALL_SECONDS + _longest_step_seconds(attempt.plan, params, device))
    resume = attempt.load_checkpoint()
    with attempt.snapshots:
        with closing(_steps(pictures, params, device, resume)) as steps:
            progress = None
            for progress in steps:
                attempt.keep(progress, weights=device.network.name)
        if progress is None:
            raise RuntimeError("the engine made no step")
        attempt.finish(progress, weights=device.network.name)


def _steps(
    pictures: _Pictures, params: StyleParams, device: Device, resume: Checkpoint | None
) -> Generator[Progress]:
    """Go on from the checkpoint, or from the start when the engine refuses it."""
    start = partial(
        stylize,
        pictures.content,
        pictures.styles,
        params,
        network=device.network,
        masks=pictures.masks,
        memory_bytes=device.memory_bytes,
        cache=device.targets,
    )
    try:
        yield from start(resume=resume)
    except CheckpointMismatch as error:
        if resume is None:
            raise
        logger.warning("checkpoint_refused", error=error.message)
        yield from start()


def _longest_step_seconds(plan: Sequence[Scale], params: StyleParams, device: Device) -> float:
    """Return what a step of the largest scale may take on a slow device."""
    found = DeviceShape("cpu", device.memory_bytes, bfloat16=False)
    edge = fitting_edge(params, plan[-1], found)
    return gigaflops(params, plan[-1], edge) / _LEAST_GIGAFLOPS


class _Attempt:
    """The duties beside the steps of one attempt."""

    def __init__(
        self,
        claim: Claim,
        workplace: Workplace,
        lease: Lease,
        params: StyleParams,
        content_size: tuple[int, int],
    ) -> None:
        self._claim = claim
        self._workplace = workplace
        self._lease = lease
        self._params = params
        self.snapshots = Snapshots(lease, workplace.storage)
        self.plan = schedule.plan(*content_size, params)
        self._first_step = 0
        self._started = self._saved = time.monotonic()

    def load_checkpoint(self) -> Checkpoint | None:
        """Return where an earlier attempt stood, if its state is there and whole."""
        with self._workplace.database.reading() as session:
            saved = artifacts.latest_checkpoint(session, self._claim.job_id)
        if saved is None:
            return None
        try:
            checkpoint = Checkpoint.from_bytes(self._workplace.storage.get(saved.key))
        except (CheckpointMismatch, FileMissing) as error:
            logger.warning("checkpoint_refused", error=error.message)
            return None
        self._first_step = saved.step
        return checkpoint

    def keep(self, progress: Progress, *, weights: str) -> None:
        """Do what is due after a step; raise when the attempt is to stop."""
        self._lease.report(self._view(progress), weights=weights, losses=losses_of(progress))
        self.snapshots.check()
        if progress.step % self._params.snapshot_every == 0:
            self.snapshots.add(progress.picture(), step=progress.step)
        try:
            self._lease.check()
        except Draining:
            self._save_checkpoint(progress)
            raise
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self._save_checkpoint(progress)

    def finish(self, progress: Progress, *, weights: str) -> None:
        """Store the result and end the job with it."""
        result = self._store_result(progress)
        self.snapshots.flush()  # who sees the end is to find them all
        view = self._view(progress)
        self._lease.finish(
            lambda session: lifecycle.succeed(
                session, self._claim, result, progress=view, weights=weights
            )
        )

    def _save_checkpoint(self, progress: Progress) -> None:
        self.snapshots.flush()  # whoever goes on from here makes none of them again
        data = progress.checkpoint().to_bytes()
        claim, storage = self._claim, self._workplace.storage
        file = artifacts.store_checkpoint(
            storage, claim.job_id, claim.attempt, data, step=progress.step
        )
        gone = self._lease.write(lambda session: lifecycle.replace_checkpoint(session, claim, file))
        for key in gone:
            storage.delete(key)
        self._saved = time.monotonic()

    def _store_result(self, progress: Progress) -> StoredFile:
        return artifacts.store_picture(
            self._workplace.storage,
            self._claim.job_id,
            self._claim.attempt,
            ArtifactKind.RESULT,
            encode_result(progress, self._params),
            image_format=self._params.format,
            extent=(progress.scale.width, progress.scale.height),
            step=progress.step,
        )

    def _view(self, progress: Progress) -> dict[str, Any]:
        left = eta_seconds(
            self.plan,
            first_step=self._first_step,
            step=progress.step,
            total_steps=progress.total_steps,
            elapsed=time.monotonic() - self._started,
        )
        return progress_of(progress, eta_seconds=left)


def _load_pictures(claim: Claim, workplace: Workplace) -> _Pictures:
    with workplace.database.reading() as session:
        inputs = artifacts.inputs(session, claim.job_id)

    def read(file: Artifact, *, as_mask: bool = False) -> Image.Image:
        decode = read_mask if as_mask else images.read_image
        return decode(workplace.storage.get(file.key), limits=_NO_LIMITS, field=file.kind).image

    return _Pictures(
        read(inputs.content),
        [read(file) for file in inputs.styles],
        [read(file, as_mask=True) for file in inputs.masks],
    )
