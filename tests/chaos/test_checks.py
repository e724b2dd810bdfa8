"""The checks themselves, on journals and histories in which one thing is wrong."""

from datetime import UTC, datetime

import pytest

pytest.importorskip("torch", reason="this machine does not compute")

from nst_jobs.records import Event, Job, Status
from tests.chaos.checks import _history
from tests.chaos.checks_of_writes import _cheap, _fenced, _rising, steps_again
from tests.chaos.journal import Entry, Journal, read_journal

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
GOOD = [
    ("submitted", "queued", 0),
    ("claimed", "running", 1),
    ("lease_expired", "queued", 1),
    ("claimed", "running", 2),
    ("succeeded", "succeeded", 2),
]


def history(moves):
    events = [
        Event(reason=reason, status=Status(status), attempt=attempt, at=NOON)
        for reason, status, attempt in moves
    ]
    job = Job(id="j", status=events[-1].status, attempt=events[-1].attempt)
    return [each.rule for each in _history(job, events)]


def entry(what, at=0.0, *, attempt=1, step=0, seen_attempt=1, seen_status="running"):
    return Entry(at, 1, what, "j", attempt, step, seen_attempt, seen_status)


def found(check, *entries):
    return [each.rule for each in check("j", list(entries))]


def test_good_history_passes():
    assert history(GOOD) == []


@pytest.mark.parametrize(
    "moves",
    [
        [*GOOD, GOOD[-1]],
        [*GOOD[:4], ("succeeded", "succeeded", 1)],
        [*GOOD[:2], GOOD[3], GOOD[4]],
        [GOOD[0], ("claimed", "running", 2)],
    ],
    ids=["two ends", "end of an old attempt", "claimed twice", "attempt left out"],
)
def test_bad_history_is_found(moves):
    assert "impossible move" in history(moves)


def test_write_in_a_newer_attempt_is_found():
    good = entry("renew")
    late = entry("renew", seen_attempt=2)
    after = entry("add_artifact", seen_status="succeeded")

    assert found(_fenced, good) == []
    assert found(_fenced, good, late, after) == ["zombie wrote", "zombie wrote"]


def test_checkpoint_that_falls_is_found():
    saved = entry("replace_checkpoint", 1, step=20)

    assert found(_rising, saved, entry("resumed", 2, attempt=2, step=20)) == []
    assert found(_rising, saved, entry("resumed", 2, attempt=2, step=10)) == ["checkpoint fell"]


def test_zombie_that_finds_a_newer_checkpoint_is_no_fall():
    newer = entry("resumed", 1, attempt=2), entry("replace_checkpoint", 2, attempt=2, step=30)

    assert found(_rising, *newer, entry("resumed", 3, attempt=1, step=30)) == []


def test_lost_steps_past_the_time_for_a_checkpoint_are_found():
    began, again = entry("resumed"), entry("resumed", 9, attempt=2)
    early, first_late, second_late = (
        entry("stepped", at, step=step) for at, step in ((0.5, 1), (1.0, 2), (1.1, 3))
    )

    assert found(_cheap, began, early, first_late, again) == []
    assert found(_cheap, began, early, first_late, second_late, again) == ["crash cost too much"]
    assert steps_again([began, early, first_late, again]) == [2]


def test_journal_is_read_as_it_was_written(tmp_path):
    Journal(tmp_path).write("stepped", job="j", attempt=2, step=3)

    (read,) = read_journal(tmp_path)

    assert (read.what, read.job, read.attempt, read.step) == ("stepped", "j", 2, 3)
