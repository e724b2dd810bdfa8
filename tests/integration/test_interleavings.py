"""The lifecycle beside a model of it, under random interleavings of its calls."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete
from sqlalchemy.orm import Session

from nst_core.errors import InvalidImage, OutOfMemory
from nst_jobs import lifecycle
from nst_jobs.artifacts import StoredFile
from nst_jobs.database import Database
from nst_jobs.lifecycle import Claim, Submission
from nst_jobs.records import ArtifactKind, Job, Status
from tests.integration.conftest import NOON
from tests.integration.histories import History, check_history, read_histories
from tests.integration.lifecycle_model import Model, ModelClaim, ModelJob

_EXAMPLES = {"sqlite": 120, "postgresql": 40}
_STEPS = 50
_MOST_OPEN = 6
_RETENTION_HOURS = 1
#: Scatters the ids: that of an older job is not always the smaller.
_SCATTER = 0x9E3779B97F4A7C15F39CC0605CEDC835

OWNERS = st.sampled_from(["ann", "bob"])
BYTES = st.sampled_from([500, 1000, 4000])
WHILE_IT_RUNS = st.sampled_from(
    [
        lambda self, claim: self.renew(claim, None),
        lambda self, claim: self.renew(claim, {"step": 3}),
        lambda self, claim: self.add_artifact(claim),
        lambda self, claim: self.replace_checkpoint(claim, 1),
        lambda self, claim: self.replace_checkpoint(claim, 20),
    ]
)
AT_ITS_END = st.sampled_from(
    [
        lambda self, claim: self.succeed(claim),
        lambda self, claim: self.fail(claim, OutOfMemory("full")),
        lambda self, claim: self.fail(claim, InvalidImage("torn")),
        lambda self, claim: self.release(claim),
        lambda self, claim: self.finish_cancelled(claim),
    ]
)


class Interleavings(RuleBasedStateMachine):
    """Calls the lifecycle and the model alike, and compares every row after each call."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self, database: Database, outcomes: Counter[tuple[str, str]]) -> None:
        super().__init__()
        self.database = database
        self.outcomes = outcomes
        self.model = Model()
        self.now = NOON
        self.serial = count(1)
        self.given: list[Claim] = []
        self.reached: dict[tuple[str, int], int] = {}
        with database.writing() as session:
            session.execute(delete(Job))
        self.histories = read_histories(database)

    def agree(
        self, name: str, expected: object, call: Callable[[Session], object], *touched: str
    ) -> None:
        """Make a call that is to end as expected, and to change no job but those touched."""
        before, refused = self.histories, isinstance(expected, type)
        if refused:
            with pytest.raises(expected), self.database.writing() as session:
                call(session)
            answer, touched = expected, ()
        else:
            with self.database.writing() as session:
                answer = call(session)
            assert answer == expected
        self.histories = read_histories(self.database)
        assert _without(self.histories, touched) == _without(before, touched)
        for job_id in touched:
            _check_course(before.get(job_id), self.histories.get(job_id))
        self.outcomes[name, _label(answer)] += 1

    @precondition(
        lambda self: sum(not j.finished_at for j in self.model.jobs.values()) < _MOST_OPEN
    )
    @rule(target=jobs, owner=OWNERS, priority=st.sampled_from([0, 5]), estimated_bytes=BYTES)
    def submit(self, owner, priority, estimated_bytes):
        job_id = str(UUID(int=next(self.serial) * _SCATTER % 2**128))
        self.model.submit(ModelJob(job_id, owner, priority, estimated_bytes, self.now, self.now))
        submission = Submission(job_id, owner, {"size": 64}, estimated_bytes, (), priority, {})
        self.agree(
            "submit",
            job_id,
            lambda session: lifecycle.submit(session, submission, now=self.now).id,
            job_id,
        )
        return job_id

    @precondition(lambda self: self.any_is(Status.QUEUED))
    @rule(
        target=claims,
        worker=st.sampled_from(["w1", "w2", "w3"]),
        device_bytes=st.sampled_from([500, 1000, 4000, 4000, 4000]),
        lease_seconds=st.sampled_from([10, 30]),
    )
    def claim(self, worker, device_bytes, lease_seconds):
        expected = self.model.claim(worker, device_bytes, lease_seconds, self.now)
        claimed: list[Claim] = []

        def call(session: Session) -> ModelClaim | None:
            found = lifecycle.claim(
                session,
                worker=worker,
                device_bytes=device_bytes,
                lease_seconds=lease_seconds,
                now=self.now,
            )
            claimed.extend([found] if found else [])
            return found and ModelClaim(found.job_id, found.attempt, found.lease_seconds)

        self.agree("claim", expected, call, *([expected.job_id] if expected else []))
        if expected:  # as a worker does, go on from the checkpoint
            checkpoint = self.model.jobs[expected.job_id].checkpoint
            self.reached[expected.job_id, expected.attempt] = checkpoint[1] if checkpoint else 0
        self.given += claimed
        return multiple(*claimed)

    def renew(self, claim, progress):
        self.agree(
            "renew",
            self.model.renew(_model(claim), self.now),
            lambda session: lifecycle.renew(session, claim, progress=progress, now=self.now),
            claim.job_id,
        )

    def add_artifact(self, claim):
        file = self.file(claim, ArtifactKind.SNAPSHOT, 7)
        self.agree(
            "add_artifact",
            self.model.add_snapshot(_model(claim), file.key),
            lambda session: lifecycle.add_artifact(session, claim, file, now=self.now),
            claim.job_id,
        )

    def replace_checkpoint(self, claim, steps):
        self.reached[claim.job_id, claim.attempt] += steps
        step = self.reached[claim.job_id, claim.attempt]
        file = self.file(claim, ArtifactKind.CHECKPOINT, step)
        self.agree(
            "replace_checkpoint",
            self.model.replace_checkpoint(_model(claim), file.key, step),
            lambda session: lifecycle.replace_checkpoint(session, claim, file, now=self.now),
            claim.job_id,
        )

    def succeed(self, claim):
        result = self.file(claim, ArtifactKind.RESULT, 99)
        self.agree(
            "succeed",
            self.model.succeed(_model(claim), self.now),
            lambda session: lifecycle.succeed(
                session, claim, result, progress={"step": 99}, weights="random", now=self.now
            ),
            claim.job_id,
        )

    def fail(self, claim, error):
        expected = self.model.fail(_model(claim), self.now, retryable=error.retryable)
        exhausted = error.retryable and expected == Status.FAILED
        self.agree(
            "exhaust" if exhausted else "fail",
            expected,
            lambda session: lifecycle.fail(session, claim, error, now=self.now),
            claim.job_id,
        )

    def release(self, claim):
        self.agree(
            "release",
            self.model.release(_model(claim), self.now),
            lambda session: lifecycle.release(session, claim, now=self.now),
            claim.job_id,
        )

    def finish_cancelled(self, claim):
        self.agree(
            "finish_cancelled",
            self.model.finish_cancelled(_model(claim), self.now),
            lambda session: lifecycle.finish_cancelled(session, claim, now=self.now),
            claim.job_id,
        )

    @rule(claim=claims, write=st.one_of(WHILE_IT_RUNS, AT_ITS_END))
    def anyone_writes(self, claim, write):
        write(self, claim)

    @precondition(lambda self: self.any_is(Status.RUNNING))
    @rule(write=WHILE_IT_RUNS)
    def holder_keeps_on(self, write):
        write(self, self.latest_held())

    @precondition(lambda self: self.any_is(Status.RUNNING))
    @rule(write=AT_ITS_END)
    def holder_ends(self, write):
        write(self, self.latest_held())

    @precondition(lambda self: any(job.failures for job in self.model.jobs.values()))
    @rule()
    def everything_fails(self):
        """See to it that retry budgets are used up, which chance alone seldom does."""
        self.now += timedelta(seconds=4)
        if self.any_is(Status.QUEUED):
            self.claim("w1", 4000, 30)
        if self.any_is(Status.RUNNING):
            self.fail(self.latest_held(), OutOfMemory("full"))

    @precondition(lambda self: self.any_is(Status.RUNNING))
    @rule()
    def cancel_running(self):
        job = self.model.jobs[self.latest_held().job_id]
        self.cancel(job.id, job.owner)

    @rule(job_id=jobs, owner=OWNERS)
    def cancel_any(self, job_id, owner):
        self.cancel(job_id, owner)

    @precondition(lambda self: any(job.finished_at for job in self.model.jobs.values()))
    @rule()
    def cancel_ended(self):
        job = next(job for job in self.model.jobs.values() if job.finished_at)
        self.cancel(job.id, job.owner)

    def cancel(self, job_id, owner):
        self.agree(
            "cancel",
            self.model.cancel(job_id, owner, self.now),
            lambda session: lifecycle.cancel(session, job_id, owner, now=self.now).status,
            job_id,
        )

    @precondition(lambda self: self.any_is(Status.RUNNING))
    @rule(silence=st.sampled_from([-1e-6, 0, 1e-6, 31]))
    def reclaim(self, silence):
        """Sweep a while after the first lease ends, which is not the same as when it ends."""
        leases = [job.lease_expires_at for job in self.model.jobs.values() if job.lease_expires_at]
        self.now = max(self.now, min(leases) + timedelta(seconds=silence))
        expected = self.model.reclaim(self.now)
        self.agree(
            "reclaim",
            expected,
            lambda session: lifecycle.reclaim(session, now=self.now),
            *expected,
        )

    @rule(seconds=st.sampled_from([0.5, 2, 4, 31]))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: any(job.finished_at for job in self.model.jobs.values()))
    @rule(seconds=st.sampled_from([1, 1, 3700]))
    def forget(self, seconds):
        self.now += timedelta(seconds=seconds)
        expected = self.model.forget(_RETENTION_HOURS, self.now)
        self.agree(
            "forget",
            expected,
            lambda session: set(
                lifecycle.forget(session, retention_hours=_RETENTION_HOURS, now=self.now)
            ),
            *expected,
        )

    @invariant()
    def rows_are_the_models(self):
        assert self.histories.keys() == self.model.jobs.keys()
        for job_id, job in self.model.jobs.items():
            seen, expected = _as_model(self.histories[job_id]), asdict(job)
            different = {name for name in expected if seen[name] != expected[name]}
            assert not different, [(name, seen[name], expected[name]) for name in different]
        for history in self.histories.values():
            check_history(history)

    def any_is(self, status: Status) -> bool:
        return any(job.status == status for job in self.model.jobs.values())

    def latest_held(self) -> Claim:
        return next(given for given in reversed(self.given) if self.model.held(_model(given)))

    def file(self, claim: Claim, kind: ArtifactKind, step: int) -> StoredFile:
        key = f"jobs/{claim.job_id}/a{claim.attempt}/{kind}-{next(self.serial)}"
        return StoredFile(kind, key, "image/png", 3, "ab", step, 4, 4)


def _model(claim: Claim) -> ModelClaim:
    return ModelClaim(claim.job_id, claim.attempt, claim.lease_seconds)


def _without(histories: dict[str, History], ids: tuple[str, ...]) -> dict[str, History]:
    return {job_id: history for job_id, history in histories.items() if job_id not in ids}


def _label(answer: object) -> str:
    if isinstance(answer, type):
        return answer.__name__
    if isinstance(answer, Status | bool):
        return str(answer)
    return "some" if answer else "none"


def _check_course(before: History | None, after: History | None) -> None:
    """Fail if a job went back in what only goes forward."""
    if before is None or after is None:
        return
    assert after.events[: len(before.events)] == before.events
    assert after.job["attempt"] >= before.job["attempt"]
    assert after.checkpoint_step >= before.checkpoint_step
    assert after.job["revision"] >= before.job["revision"]
    silent = {"lease_expires_at", "revision"}
    if any(after.job[name] != value for name, value in before.job.items() if name not in silent):
        assert after.job["revision"] > before.job["revision"]


def _as_model(history: History) -> dict[str, Any]:
    """Return a job's rows in the form of the model's."""
    names = ModelJob.__dataclass_fields__.keys() - {"checkpoint", "snapshots", "events"}
    checkpoints = [(file["key"], file["step"]) for file in history.of_kind(ArtifactKind.CHECKPOINT)]
    return {
        **{name: history.job[name] for name in names},
        "checkpoint": next(iter(checkpoints), None),
        "snapshots": [file["key"] for file in history.of_kind(ArtifactKind.SNAPSHOT)],
        "events": [
            (event["attempt"], event["status"], event["reason"]) for event in history.events
        ],
    }


#: Without these the machine would have proved little.
_TO_BE_REACHED = {
    *[("claim", label) for label in ("some", "none")],
    *[("renew", label) for label in ("True", "False", "LeaseLost")],
    *[("add_artifact", label) for label in ("none", "LeaseLost")],
    *[("replace_checkpoint", label) for label in ("none", "some", "LeaseLost")],
    *[("succeed", label) for label in ("none", "Cancelled", "LeaseLost")],
    *[("fail", label) for label in ("queued", "failed", "cancelled", "LeaseLost")],
    ("exhaust", "failed"),
    *[("release", label) for label in ("queued", "cancelled", "LeaseLost")],
    *[("finish_cancelled", label) for label in ("none", "LeaseLost")],
    *[("cancel", label) for label in ("running", "cancelled", "NotCancellable", "JobNotFound")],
    *[("reclaim", label) for label in ("some", "none")],
    *[("forget", label) for label in ("some", "none")],
}


def test_no_interleaving_of_calls_departs_from_the_documented_lifecycle(database):
    outcomes: Counter[tuple[str, str]] = Counter()
    examples = _EXAMPLES[database.engine.dialect.name]

    run_state_machine_as_test(
        lambda: Interleavings(database, outcomes),
        settings=settings(
            max_examples=examples,
            stateful_step_count=_STEPS,
            derandomize=True,  # the same calls on every machine, every time
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            phases=(Phase.generate,),  # shrinking takes minutes; the calls are few as it is
            suppress_health_check=list(HealthCheck),
        ),
    )

    if examples == max(_EXAMPLES.values()):
        assert _TO_BE_REACHED - outcomes.keys() == set()
