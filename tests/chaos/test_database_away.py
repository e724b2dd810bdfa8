"""The database away: for less than a lease running jobs go on, for longer they start again."""

import pytest

pytest.importorskip("torch", reason="this machine does not compute")

from api.client import NstClient
from api.schemas import JobView
from tests.chaos import postgres, workload
from tests.chaos import stage as scene
from tests.chaos.orders import Orders
from tests.chaos.stage import staged


@pytest.mark.parametrize(
    ("lease_seconds", "away_seconds", "attempts"),
    [(20.0, 5.0, {1}), (5.0, 8.0, {2, 3})],
    ids=["short", "long"],
)
def test_running_job_outlives_its_database(
    tmp_path, monkeypatch, lease_seconds, away_seconds, attempts
):
    monkeypatch.setattr(scene, "LEASE_SECONDS", lease_seconds)
    monkeypatch.setattr(postgres, "_RESTART_SECONDS", away_seconds)
    orders = Orders(tmp_path / "run", seed=1)

    with staged(orders, database="postgresql") as stage, NstClient(stage.url) as client:
        job_id = client.submit(
            workload.content(), [workload.style()], params={**workload.LONG, "steps": 600}
        ).id
        seen = client.watch(job_id)
        next(job for job in seen if job.progress.step > 0)
        stage.postgres.crash()
        ended = _last(client, job_id)

        assert ended.status == "succeeded"
        assert ended.attempt in attempts
        assert client.result(job_id) == workload.reference({**workload.LONG, "steps": 600})


def _last(client: NstClient, job_id: str) -> JobView:
    *_, last = client.watch(job_id)
    return last
