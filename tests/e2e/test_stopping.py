"""Ways to stop: what must not be lost, and that nothing is left behind."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import NST, Server, environment, serving, wait_until


def gone(family: list[psutil.Process]) -> bool:
    """Whether none of the processes runs any more; zombies of another parent do not run."""
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family
    )


def started(server: Server, job_id: str) -> bool:
    return server.client.get(job_id).progress.step > 1


def test_stopped_server_goes_on_from_its_checkpoint_to_the_same_bytes(tmp_path: Path, submit):
    long = {"steps": 200, "size": 96, "scales": 2, "snapshot_every": 100}
    with serving(tmp_path / "data") as server:
        whole = submit(server, **long)
        wait_until(lambda: server.client.get(whole).status == "succeeded")
        expected = server.client.result(whole)
        broken = submit(server, **long)
        wait_until(lambda: server.client.get(broken).progress.step > 10)
        status = server.stop()

    with serving(tmp_path / "data") as server:
        wait_until(lambda: server.client.get(broken).status == "succeeded")
        job = server.client.get(broken)

        assert status == 0
        assert (job.attempt, job.failures) == (2, 0)
        assert server.client.result(broken) == expected


def test_killed_workers_job_runs_again_within_forty_seconds(tmp_path: Path, submit):
    with serving(tmp_path / "data") as server:
        job_id = submit(server, steps=40)
        wait_until(lambda: started(server, job_id))

        server.worker_child().kill()

        wait_until(lambda: server.client.get(job_id).attempt == 2, seconds=40)
        wait_until(lambda: server.client.get(job_id).status == "succeeded")
        job = server.client.get(job_id)
        assert (job.attempt, job.failures) == (2, 1)
        assert job.error is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_nothing_is_left_behind(tmp_path: Path, submit, number):
    with serving(tmp_path / "data") as server:
        job_id = submit(server, steps=5000)
        wait_until(lambda: started(server, job_id))
        family = server.family()
        assert len(family) >= 6  # supervisor, valkey, worker and child, gunicorn and child

        server.process.send_signal(number)

        wait_until(lambda: gone(family), seconds=30)


def test_server_whose_supervisor_is_killed_ends_with_all_its_parts(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        family = server.family()
        (supervisor,) = psutil.Process(server.process.pid).children()

        supervisor.kill()

        wait_until(lambda: gone(family), seconds=30)
        assert server.process.wait(timeout=30) == 1


def test_nothing_in_the_present_folder_or_environment_comes_between(tmp_path: Path, submit):
    here = tmp_path / "somebodys project"
    (here / "api").mkdir(parents=True)
    (here / "api" / "__init__.py").write_text("raise SystemExit('not this one')")
    (here / "gunicorn.conf.py").write_text("raise SystemExit('not this one')")
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "CELERY_BROKER_URL": "redis://127.0.0.1:9"}

    with serving(tmp_path / "da ta?%", cwd=here, **proxies) as server:
        job_id = submit(server)
        states = list(server.client.watch(job_id))

    assert states[-1].status == "succeeded"
    assert (tmp_path / "da ta?%" / "nst.db").exists()


def test_demo_whose_caller_is_killed_leaves_nothing_behind(tmp_path: Path):
    command = [*NST, "demo", "-o", str(tmp_path / "demo"), "--steps", "5000", "--size", "64"]
    shell = subprocess.Popen(
        ["sh", "-c", f"{' '.join(command)}; true"],
        env=environment(tmp_path / "data"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    caller = psutil.Process(shell.pid)
    log = tmp_path / "demo" / "logs" / "worker-1.log"
    wait_until(lambda: log.exists() and "attempt_started" in log.read_text())
    family = caller.children(recursive=True)

    shell.kill()
    shell.wait()

    wait_until(lambda: gone(family), seconds=30)


def test_second_server_on_the_same_folder_is_told_so(tmp_path: Path, server: Server):
    port = server.url.rpartition(":")[2]
    done = subprocess.run(
        [*NST, "serve", "--port", port],
        env=environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_server_without_keys_refuses_to_face_the_network(tmp_path: Path):
    done = subprocess.run(
        [*NST, "serve", "--host", "0.0.0.0"],  # noqa: S104 - that is what must be refused
        env=environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "loopback" in done.stderr
