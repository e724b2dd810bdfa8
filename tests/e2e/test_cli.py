"""The command line as people and scripts use it: what it prints, and its exit codes."""

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import NST, SAMPLES, Server, environment, wait_until

PAIR = (str(SAMPLES / "content.jpg"), str(SAMPLES / "style.jpg"))


@pytest.fixture
def nst(tmp_path: Path):
    """Run a command with nothing of this machine's settings."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NST, *arguments],
            env=environment(tmp_path / "data", **settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_submit_watches_and_writes_the_result(server: Server, nst, tmp_path: Path):
    output = tmp_path / "out.webp"
    done = nst(
        *("submit", *PAIR, "--url", server.url, "-o", str(output)),
        *("--size", "64", "--steps", "3", "--scales", "1", "--format", "webp"),
    )

    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert "weights: random" in done.stderr
    with Image.open(output) as picture:
        assert picture.format == "WEBP"


def test_job_is_submitted_shown_listed_cancelled_and_watched(server: Server, nst):
    at = ("--url", server.url)
    job_id = nst("submit", *PAIR, *at, "--size", "64", "--steps", "9000").stdout.strip()
    wait_until(lambda: server.client.get(job_id).status == "running")

    shown = json.loads(nst("show", job_id, *at, "--json").stdout)
    listed = nst("list", "--status", "running", *at, COLUMNS="200").stdout
    cancelled = nst("cancel", job_id, *at)
    watched = nst("watch", job_id, *at)

    assert (shown["id"], shown["params"]["steps"]) == (job_id, 9000)
    assert job_id in listed
    assert cancelled.returncode == 0
    assert watched.returncode == 1
    assert f"{job_id} cancelled" in watched.stdout


def test_what_the_server_refuses_is_told_with_the_field(server: Server, nst, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")

    done = nst("submit", str(tmp_path / "a.jpg"), PAIR[1], "--url", server.url)
    unknown = nst("show", "019a0000-0000-7000-8000-000000000000", "--url", server.url)

    assert (done.returncode, unknown.returncode) == (4, 4)
    assert "/content" in done.stderr
    assert "no job" in unknown.stderr
    assert "Traceback" not in done.stderr + unknown.stderr


def test_mask_goes_along_with_a_submission(server: Server, nst, tmp_path: Path):
    with Image.open(PAIR[0]) as photo:
        Image.new("L", photo.size, "white").save(tmp_path / "white.png")
        Image.new("L", photo.size, "black").save(tmp_path / "black.png")
    at = ("--url", server.url, "--size", "64", "--steps", "1")

    taken = nst("submit", *PAIR, *at, "--mask", str(tmp_path / "white.png"))
    refused = nst("submit", *PAIR, *at, "--mask", str(tmp_path / "black.png"))

    assert taken.returncode == 0, taken.stderr
    assert refused.returncode == 4
    assert "/mask: mask is black everywhere" in refused.stderr


def test_server_that_is_not_there_is_exit_code_3_with_the_remedy(nst):
    done = nst("list", "--url", "http://127.0.0.1:9")

    assert done.returncode == 3
    assert "nst serve" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", PAIR[0]),
        ("submit", *PAIR, "--steps", "many"),
        ("submit", "no-such-file.jpg", PAIR[1]),
        ("submit", *PAIR, "-o", "/no/such/folder/a.png"),
        ("sing",),
    ],
)
def test_wrong_usage_is_exit_code_2(nst, arguments):
    done = nst(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_doctor_finds_what_is_wrong_and_names_the_remedy(nst, tmp_path: Path):
    well = nst("doctor")
    ill = nst(
        "doctor",
        "--json",
        NST_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none",
        NST_BROKER_URL="redis://127.0.0.1:9/0",
        NST_STORAGE_URL="s3://bucket",
        NST_WEIGHTS=str(tmp_path / "none.pth"),
    )

    levels = {finding["name"]: finding["level"] for finding in json.loads(ill.stdout)}
    assert well.returncode == 0, well.stdout
    assert ill.returncode == 1
    assert {name for name, level in levels.items() if level == "error"} == {
        "database",
        "broker",
        "storage",
        "weights",
    }
    assert all(
        finding["remedy"] for finding in json.loads(ill.stdout) if finding["level"] == "error"
    )


def test_migrate_makes_and_removes_the_tables(nst, tmp_path: Path):
    up, down = nst("migrate"), nst("migrate", "--revision", "base")

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert "nst.db is at head" in up.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NST_MAX_SIZE", "huge"),
        ("NST_DATABASE_URL", "nonsense"),
        ("NST_BROKER_URL", "foo://bar"),
        ("NST_RETENTION_HOURS", "inf"),
        ("NST_LEASE_SECONDS", "1"),
    ],
)
def test_setting_that_makes_no_sense_is_named(nst, name, value):
    done = nst("migrate", **{name: value})

    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["migrate"], {"NST_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}),
        (["migrate", "--revision", "nonsense"], {}),
        (["serve"], {"NST_DATA_DIR": "/dev/null/x"}),
        (["show", "../../livez"], {}),
    ],
    ids=str,
)
def test_what_goes_wrong_is_said_without_a_traceback(server, nst, arguments, settings):
    done = nst(*arguments, NST_URL=server.url, **settings)

    assert done.returncode in (1, 4)
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_leaves_pictures_and_says_what_made_them(nst, tmp_path: Path):
    output = tmp_path / "demo"
    output.mkdir()
    (output / "step-9999.jpg").write_bytes(b"of an earlier demo")

    done = nst("demo", "-o", str(output), "--size", "64", "--steps", "50")

    assert done.returncode == 0, done.stderr
    assert f"result:   {output}/result.png" in done.stdout
    assert "weights: random" in done.stdout
    assert sorted(path.name for path in output.glob("*.*g")) == [
        "result.png",
        "step-0025.jpg",
        "step-0050.jpg",
    ]
    assert not (tmp_path / "data").exists()


def test_demo_of_a_file_that_is_no_picture_says_so(nst, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")

    done = nst("demo", "-o", str(tmp_path / "demo"), "--content", str(tmp_path / "a.jpg"))

    assert done.returncode == 4
    assert "/content" in done.stderr
    assert "Traceback" not in done.stderr
