"""Jobs that end every process that computes them: they fail, and the others do not suffer."""

import pytest

pytest.importorskip("torch", reason="this machine does not compute")

from nst_jobs import retries
from tests.chaos import workload
from tests.chaos.orders import POISON_SEED, Orders
from tests.chaos.report import report
from tests.chaos.run import run


def test_poison_fails_after_its_retries_and_the_others_succeed(tmp_path):
    params = [workload.POISON, *[workload.STYLINGS[0]] * 5] * 4

    verdict = run(Orders(tmp_path / "run", seed=2), params, [], database="sqlite", seconds=8)

    assert verdict.violations == [], report(verdict)
    jobs = verdict.evidence.jobs.values()
    poisoned = [job for job in jobs if job.params["seed"] == POISON_SEED]
    assert {(job.status, job.attempt) for job in poisoned} == {("failed", retries.MAX_FAILURES)}
