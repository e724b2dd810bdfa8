"""The attempt runner over real parts and a narrow network: every way in which an attempt ends."""

import hashlib
import io
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from sqlalchemy import select

from nst_core.errors import InvalidParams
from nst_core.params import StyleParams
from nst_jobs import artifacts, lifecycle
from nst_jobs.database import Database
from nst_jobs.errors import Cancelled, Draining, StorageError
from nst_jobs.lifecycle import Submission
from nst_jobs.losses import loss_curve
from nst_jobs.records import Artifact, ArtifactKind, Job, Status
from nst_jobs.storage import Storage

torch = pytest.importorskip("torch", reason="this machine does not compute")

import numpy as np  # noqa: E402 - after the skip

from nst_core import engine  # noqa: E402
from nst_core.png16 import encode_png16  # noqa: E402
from nst_core.targets import TargetCache  # noqa: E402
from tests.losses import row  # noqa: E402
from tests.networks import narrow_network  # noqa: E402
from worker import runner  # noqa: E402
from worker.lease import Lease  # noqa: E402
from worker.runner import Workplace, run_attempt  # noqa: E402

PARAMS = StyleParams(size=64, steps=12, scales=1, snapshot_every=5)


class NarrowDevice:
    """A device whose network is quick."""

    name = "cpu"
    memory_bytes = 10**12

    def __init__(self) -> None:
        torch.set_num_threads(1)  # threads of tests that run side by side wait for each other
        self.network = narrow_network()
        self.targets = TargetCache()


class LeaseThat:
    """A lease that does something of the test's at one step."""

    def __init__(self, step: int = 0, action=None) -> None:
        self.steps = 0
        self._step = step
        self._action = action

    def hold(self, database: Database, held) -> "LeaseThat":
        self.claim, self._database = held, database
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def expect_steps_within(self, seconds):
        pass

    def write(self, change):
        with self._database.writing() as session:
            return change(session)

    def finish(self, change):
        return self.write(change)

    def report(self, progress, *, weights, losses):
        self.steps += 1
        assert losses.step == progress["step"]

    def check(self):
        if self.steps == self._step:
            self._action()


def stop_with(error: Exception):
    def stop():
        raise error

    return stop


@pytest.fixture
def workplace(database: Database, tmp_path: Path) -> Workplace:
    return Workplace(database, Storage(tmp_path / "files"), NarrowDevice())


@pytest.fixture
def job_id(workplace: Workplace) -> str:
    """A queued job with real pictures."""
    content, style = Image.linear_gradient("L"), Image.radial_gradient("L")
    return submit(workplace, [(ArtifactKind.CONTENT, content), (ArtifactKind.STYLE, style)])


def submit(workplace: Workplace, pictures: list[tuple[ArtifactKind, Image.Image]]) -> str:
    job_id = lifecycle.new_job_id()
    files = []
    for place, (kind, picture) in enumerate(pictures):
        out = io.BytesIO()
        picture.convert("RGB").resize((60, 45)).save(out, "PNG")
        files.append(
            artifacts.store_picture(
                workplace.storage,
                job_id,
                0,
                kind,
                out.getvalue(),
                image_format="png",
                extent=(60, 45),
                step=place,
            )
        )
    submission = Submission(
        job_id=job_id,
        owner="ann",
        params=PARAMS.model_dump(mode="json"),
        estimated_bytes=0,
        files=tuple(files),
        priority=0,
        metadata={},
    )
    with workplace.database.writing() as session:
        lifecycle.submit(session, submission)
    return job_id


def attempt(workplace: Workplace, lease=None) -> LeaseThat:
    """Claim the job, whatever its back-off, and run one attempt at it."""
    lease = lease or LeaseThat()
    run(workplace, lease)
    return lease


def run(workplace: Workplace, lease: LeaseThat) -> bool:
    held = claim(workplace)
    return run_attempt(held, workplace, lease.hold(workplace.database, held))


def claim(workplace: Workplace):
    with workplace.database.writing() as session:
        session.execute(Job.__table__.update().values(due_at=Job.created_at))
        return lifecycle.claim(session, worker="w", device_bytes=10**12, lease_seconds=30)


def read(workplace: Workplace, job_id: str) -> Job:
    with workplace.database.reading() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def result_of(workplace: Workplace, job_id: str) -> bytes:
    with workplace.database.reading() as session:
        return workplace.storage.get(artifacts.result(session, job_id).key)


def kinds(workplace: Workplace, job_id: str) -> list[str]:
    with workplace.database.reading() as session:
        found = session.scalars(select(Artifact).where(Artifact.job_id == job_id))
        return sorted(file.kind.value for file in found)


def test_attempt_ends_with_result_snapshots_and_weights_label(workplace, job_id):
    attempt(workplace)

    job = read(workplace, job_id)
    assert (job.status, job.weights, job.progress["step"]) == (Status.SUCCEEDED, "narrow", 12)
    assert kinds(workplace, job_id) == ["content", "result", "snapshot", "snapshot", "style"]
    with workplace.database.reading() as session:
        row = artifacts.result(session, job_id)
    data = workplace.storage.get(row.key)
    assert (row.sha256, row.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert Image.open(io.BytesIO(data)).size == (row.width, row.height) == (64, 48)


def test_result_of_16_bits_is_the_engines_samples_as_png(workplace, job_id, monkeypatch):
    samples = np.arange(48 * 64 * 3, dtype=np.uint16).reshape(48, 64, 3)
    monkeypatch.setattr(runner, "stylize", stylize_in_16_bits(samples))
    set_params(workplace, PARAMS.model_copy(update={"bit_depth": 16}))

    attempt(workplace)

    with workplace.database.reading() as session:
        row = artifacts.result(session, job_id)
    assert (row.media_type, row.width, row.height) == ("image/png", 64, 48)
    assert result_of(workplace, job_id) == encode_png16(samples)


def stylize_in_16_bits(samples):
    def stylize(*pictures, **options):
        for progress in engine.stylize(*pictures, **options):
            yield SimpleNamespace(**{**vars(progress), "samples": lambda: samples})

    return stylize


def set_params(workplace: Workplace, params: StyleParams) -> None:
    with workplace.database.writing() as session:
        session.execute(Job.__table__.update().values(params=params.model_dump(mode="json")))


def test_engine_is_given_the_masks_in_the_order_of_the_styles(workplace, monkeypatch):
    greys = [Image.new("L", (8, 8), value) for value in (10, 20, 30, 40, 50)]
    order = [ArtifactKind.CONTENT, *[ArtifactKind.STYLE] * 2, *[ArtifactKind.MASK] * 2]
    job_id = submit(workplace, list(zip(order, greys, strict=True)))
    heard = []

    def stylize(content, styles, params, *, masks, **options):
        heard.extend([content, *styles, *masks])
        raise InvalidParams("that is enough")
        yield

    monkeypatch.setattr(runner, "stylize", stylize)

    attempt(workplace)

    assert [picture.mode for picture in heard] == ["RGB", "RGB", "RGB", "L", "L"]
    assert [picture.convert("L").getpixel((0, 0)) for picture in heard] == [10, 20, 30, 40, 50]
    assert read(workplace, job_id).error["message"] == "that is enough"


def test_drained_attempt_is_gone_on_with_and_yields_the_same_bytes(workplace, job_id):
    attempt(workplace, LeaseThat(7, stop_with(Draining("stop"))))
    drained = read(workplace, job_id)
    kept = kinds(workplace, job_id)

    second = attempt(workplace)

    resumed = result_of(workplace, job_id)
    assert (drained.status, drained.failures) == (Status.QUEUED, 0)
    assert "checkpoint" in kept
    assert second.steps == 12 - 7
    assert "checkpoint" not in kinds(workplace, job_id)
    assert not list(workplace.storage.root.rglob("checkpoint*"))
    assert resumed == _uninterrupted(workplace, job_id)


def _uninterrupted(workplace: Workplace, job_id: str) -> bytes:
    """Return the result of the same job run again in one go."""
    with workplace.database.writing() as session:
        session.execute(Job.__table__.update().values(status="queued"))
        session.execute(Artifact.__table__.delete().where(Artifact.kind == "result"))
    attempt(workplace)
    return result_of(workplace, job_id)


def test_checkpoints_are_made_by_time_and_only_the_last_is_kept(workplace, job_id, monkeypatch):
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 0)
    counts = []
    lease = LeaseThat(6, lambda: counts.append(kinds(workplace, job_id).count("checkpoint")))

    attempt(workplace, lease)

    assert counts == [1]


def test_damaged_checkpoint_costs_its_steps_and_not_the_job(workplace, job_id):
    attempt(workplace, LeaseThat(7, stop_with(Draining("stop"))))
    (path,) = workplace.storage.root.rglob("checkpoint*")
    path.write_bytes(path.read_bytes()[:-9] + b"scribbles")

    second = attempt(workplace)

    assert second.steps == 12
    assert read(workplace, job_id).status == Status.SUCCEEDED


def test_lost_checkpoint_file_costs_its_steps_and_not_the_job(workplace, job_id):
    attempt(workplace, LeaseThat(7, stop_with(Draining("stop"))))
    (path,) = workplace.storage.root.rglob("checkpoint*")
    path.unlink()

    second = attempt(workplace)

    job = read(workplace, job_id)
    assert (second.steps, job.status, job.failures) == (12, Status.SUCCEEDED, 0)


def test_process_is_kept_after_a_job_and_left_after_what_may_be_its_own_fault(workplace, job_id):
    drained = run(workplace, LeaseThat(2, stop_with(Draining("x"))))
    broken = run(workplace, LeaseThat(2, lambda: 1 / 0))
    done = run(workplace, LeaseThat())

    assert (drained, broken, done) == (False, False, True)


def test_checkpoint_of_other_weights_is_not_gone_on_from(workplace, job_id):
    attempt(workplace, LeaseThat(7, stop_with(Draining("stop"))))
    workplace.device.network.name = "other"

    second = attempt(workplace)

    assert second.steps == 12
    assert read(workplace, job_id).status == Status.SUCCEEDED


def test_job_says_with_how_many_threads_and_tiles_it_was_computed(workplace, job_id):
    attempt(workplace)

    progress = read(workplace, job_id).progress
    assert (progress["threads"], progress["scale"]["tiles"]) == (torch.get_num_threads(), 1)


def test_cancelled_attempt_ends_the_job_without_result(workplace, job_id):
    attempt(workplace, LeaseThat(3, stop_with(Cancelled("stop"))))

    assert read(workplace, job_id).status == Status.CANCELLED
    assert "result" not in kinds(workplace, job_id)


def attempt_that_drains(workplace: Workplace, *, step: int = 0) -> None:
    """Run an attempt with a lease as it is, which drains after a step."""
    held, draining = claim(workplace), threading.Event()

    class DrainingLease(Lease):
        def report(self, progress, **more):
            super().report(progress, **more)
            if progress["step"] == step:
                draining.set()

    run_attempt(held, workplace, DrainingLease(workplace.database, held, draining=draining))


def test_every_step_has_its_losses_once_however_often_it_was_made(workplace, job_id):
    attempt_that_drains(workplace, step=7)
    drained = losses(workplace, job_id)
    with workplace.database.writing() as session:  # as of an attempt that was killed later on
        held = lifecycle.claim(session, worker="w", device_bytes=10**12, lease_seconds=30)
        lifecycle.renew(session, held, losses=[row(step) for step in (8, 9)])
        lifecycle.release(session, held)

    attempt_that_drains(workplace)

    found = losses(workplace, job_id)
    assert drained["step"] == list(range(1, 8))
    assert found["step"] == list(range(1, 13))
    assert {name: column[:7] for name, column in found.items()} == drained
    assert row(8).total not in found["total"]
    progress = read(workplace, job_id).progress
    assert {name: found[name][-1] for name in progress["losses"]} == progress["losses"]
    assert found["scale"] == [1] * 12


@pytest.mark.parametrize(
    "action", [stop_with(Cancelled("stop")), lambda: 1 / 0], ids=["cancel", "fail"]
)
def test_attempt_that_ends_early_leaves_the_losses_of_its_steps(workplace, job_id, action):
    held = claim(workplace)

    class EndingLease(Lease):
        def check(self):
            if len(self._losses) == 4:
                action()

    run_attempt(held, workplace, EndingLease(workplace.database, held, draining=threading.Event()))

    assert losses(workplace, job_id)["step"] == [1, 2, 3, 4]


def losses(workplace: Workplace, job_id: str) -> dict[str, list[float]]:
    with workplace.database.reading() as session:
        return loss_curve(session, job_id, points=100)


@pytest.mark.parametrize(
    "error",
    [Cancelled("stop"), Draining("stop"), ValueError("broken")],
    ids=["cancel", "drain", "error"],
)
def test_zombie_that_ends_otherwise_leaves_the_job_alone_too(workplace, job_id, error):
    def be_overtaken_and_stop() -> None:
        with workplace.database.writing() as session:
            session.execute(Job.__table__.update().values(attempt=2, worker="other"))
        raise error

    attempt(workplace, LeaseThat(3, be_overtaken_and_stop))

    job = read(workplace, job_id)
    assert (job.status, job.attempt, job.failures) == (Status.RUNNING, 2, 0)


def test_zombie_leaves_the_new_attempts_job_alone(workplace, job_id):
    def be_overtaken() -> None:
        with workplace.database.writing() as session:
            session.execute(Job.__table__.update().values(attempt=2, worker="other"))

    attempt(workplace, LeaseThat(3, be_overtaken))

    job = read(workplace, job_id)
    assert (job.status, job.attempt, job.failures) == (Status.RUNNING, 2, 0)
    assert set(kinds(workplace, job_id)) == {"content", "style"}


def test_damaged_picture_fails_the_job_at_once(workplace, job_id):
    (path,) = workplace.storage.root.rglob("content*")
    path.write_bytes(b"not a picture")

    attempt(workplace)

    job = read(workplace, job_id)
    assert (job.status, job.error["code"], job.failures) == (Status.FAILED, "invalid_image", 1)


def test_missing_file_is_tried_again_and_then_given_up(workplace, job_id):
    (path,) = workplace.storage.root.rglob("content*")
    path.unlink()

    states = []
    for _ in range(3):
        attempt(workplace)
        job = read(workplace, job_id)
        states.append((job.status, job.error["code"]))

    assert states == [
        (Status.QUEUED, "storage_unavailable"),
        (Status.QUEUED, "storage_unavailable"),
        (Status.FAILED, "retries_exhausted"),
    ]


def test_unforeseen_error_is_tried_again(workplace, job_id):
    attempt(workplace, LeaseThat(2, lambda: 1 / 0))
    failed = read(workplace, job_id)

    attempt(workplace)

    assert (failed.status, failed.failures, failed.error["code"]) == (
        Status.QUEUED,
        1,
        "internal_error",
    )
    job = read(workplace, job_id)
    assert (job.status, job.error) == (Status.SUCCEEDED, None)


class StorageWhose(Storage):
    """A file store that does something of the test's before it takes a snapshot."""

    def __init__(self, root: Path, before_snapshot) -> None:
        super().__init__(root)
        self._before_snapshot = before_snapshot
        self.stored = []

    def put(self, key, data) -> None:
        if "snapshot" in key:
            self._before_snapshot()
        super().put(key, data)
        self.stored.append(key.rpartition("/")[2])


def with_storage(workplace: Workplace, before_snapshot) -> Workplace:
    return replace(workplace, storage=StorageWhose(workplace.storage.root, before_snapshot))


def test_steps_go_on_while_a_snapshot_is_being_stored(workplace, job_id):
    gate, passed = threading.Event(), []
    slow = with_storage(workplace, lambda: passed.append(gate.wait(10)))

    attempt(slow, LeaseThat(9, gate.set))  # the snapshot is step 5's

    assert passed == [True, True]
    assert kinds(workplace, job_id).count("snapshot") == 2
    assert read(workplace, job_id).status == Status.SUCCEEDED


def test_snapshot_waits_for_the_one_before_it(workplace, job_id):
    set_params(workplace, PARAMS.model_copy(update={"snapshot_every": 1}))
    lease, steps = LeaseThat(), []

    def look() -> None:
        time.sleep(0.2)  # steps that did not wait would be made meanwhile
        steps.append(lease.steps)

    attempt(with_storage(workplace, look), lease)

    assert (len(steps), steps[0]) == (12, 2)


def test_snapshot_that_cannot_be_stored_fails_the_attempt_at_the_next_step(workplace, job_id):
    tried = threading.Event()

    def fail() -> None:
        tried.set()
        raise StorageError("the disk is full")

    def wait() -> None:
        tried.wait(10)
        time.sleep(0.1)

    lease = attempt(with_storage(workplace, fail), LeaseThat(7, wait))  # the snapshot is step 5's

    job = read(workplace, job_id)
    assert (job.status, job.failures) == (Status.QUEUED, 1)
    assert (job.error["code"], job.error["message"]) == ("storage_unavailable", "the disk is full")
    assert lease.steps <= 8


def test_job_does_not_succeed_without_its_last_snapshot(workplace, job_id):
    set_params(workplace, PARAMS.model_copy(update={"snapshot_every": 12}))

    attempt(with_storage(workplace, stop_with(StorageError("the disk is full"))))

    assert read(workplace, job_id).status == Status.QUEUED
    assert "result" not in kinds(workplace, job_id)


def test_job_succeeds_only_when_every_snapshot_is_stored(workplace, job_id):
    set_params(workplace, PARAMS.model_copy(update={"snapshot_every": 12}))
    states = []

    def look() -> None:
        time.sleep(0.3)  # an end that did not wait would come meanwhile
        states.append(read(workplace, job_id).status)

    attempt(with_storage(workplace, look))

    assert states == [Status.RUNNING]
    assert kinds(workplace, job_id).count("snapshot") == 1


def test_drained_attempt_stores_its_snapshots_before_its_checkpoint(workplace, job_id):
    slow = with_storage(workplace, lambda: time.sleep(0.3))

    attempt(slow, LeaseThat(5, stop_with(Draining("stop"))))

    assert slow.storage.stored == ["snapshot-000005.jpg", "checkpoint-000005"]
    assert kinds(workplace, job_id).count("snapshot") == 1


@pytest.mark.parametrize("error", [Cancelled("stop"), ValueError("broken")], ids=["cancel", "fail"])
def test_nothing_is_stored_after_an_attempt_has_ended(workplace, job_id, error):
    slow = with_storage(workplace, lambda: time.sleep(0.3))

    attempt(slow, LeaseThat(6, stop_with(error)))
    at_the_end = kinds(workplace, job_id)

    assert not [thread for thread in threading.enumerate() if "snapshots" in thread.name]
    assert at_the_end.count("snapshot") == 1
