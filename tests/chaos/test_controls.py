"""Negative controls: with a guard taken away the checks must find what it guards against."""

import pytest

pytest.importorskip("torch", reason="this machine does not compute")

from tests.chaos import workload
from tests.chaos.orders import Orders
from tests.chaos.report import report
from tests.chaos.run import run


def rules(verdict):
    return {each.rule for each in verdict.violations}


def test_without_fencing_zombies_are_found(tmp_path):
    """Workers sleep beyond their leases; meanwhile others go on with their jobs."""
    orders = Orders(tmp_path / "run", seed=3, broken="fencing")

    verdict = run(
        orders,
        [workload.LONG] * 8,
        ["zombie child"],
        database="sqlite",
        seconds=12,
        settle_seconds=2,
    )

    assert "zombie wrote" in rules(verdict), report(verdict)


def test_without_sweeper_jobs_of_dead_workers_are_found(tmp_path):
    orders = Orders(tmp_path / "run", seed=4, broken="sweeper")

    verdict = run(
        orders,
        [workload.LONG] * 8,
        ["kill child"],
        database="sqlite",
        seconds=10,
        settle_seconds=12,
    )

    assert "never ended" in rules(verdict), report(verdict)


def test_answer_before_the_commit_is_found(tmp_path):
    orders = Orders(tmp_path / "run", seed=5, broken="order")

    verdict = run(
        orders,
        [workload.STYLINGS[0]] * 40,
        ["kill api process"],
        database="sqlite",
        seconds=15,
        settle_seconds=20,
    )

    assert "accepted job lost" in rules(verdict), report(verdict)
