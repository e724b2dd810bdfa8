"""The pictures of a job over HTTP: smaller ones, parts of them, and their tags."""

import io

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from api import pictures
from nst_core.images import encode
from nst_core.png16 import encode_png16
from nst_jobs import artifacts, lifecycle
from nst_jobs.records import ArtifactKind
from tests.pictures import scene
from tests.submissions import post

WIDE = scene(200, 101)
RESULT = encode(WIDE, "png", 0)
SNAPSHOT = encode(WIDE, "jpeg", 90)


@pytest.fixture
def parts(app: Flask):
    return app.extensions["nst"]


def finish(http: FlaskClient, parts, data: bytes, image_format: str) -> str:
    """Have a worker make a snapshot and a result, each of 200 × 101; return the URL."""
    job = post(http, None).json
    with parts.database.writing() as session:
        held = lifecycle.claim(session, worker="w", device_bytes=10**15, lease_seconds=30)

    def store(kind, data, image_format):
        return artifacts.store_picture(
            parts.storage,
            held.job_id,
            held.attempt,
            kind,
            data,
            image_format=image_format,
            extent=(200, 101),
            step=5,
        )

    with parts.database.writing() as session:
        snapshot = store(ArtifactKind.SNAPSHOT, SNAPSHOT, "jpeg")
        lifecycle.add_artifact(session, held, snapshot)
        result = store(ArtifactKind.RESULT, data, image_format)
        lifecycle.succeed(session, held, result, progress={"total_steps": 5}, weights="random")
    return job["links"]["self"]


@pytest.fixture
def job(http: FlaskClient, parts) -> str:
    return finish(http, parts, RESULT, "png")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_smaller_picture_has_the_same_format_and_aspect(http, parts, image_format):
    job = finish(http, parts, encode(WIDE, image_format, 95), image_format)

    answer = http.get(f"{job}/result?width=50")

    small = opened(answer.data)
    assert answer.content_type == f"image/{image_format}"
    assert (small.format, small.size) == (image_format.upper(), (50, 25))
    wanted = WIDE.resize((50, 25), Image.Resampling.LANCZOS)
    for channel, expected in zip(mean(small), mean(wanted), strict=True):
        assert channel == pytest.approx(expected, abs=3)


def mean(image: Image.Image) -> list[float]:
    return [
        sum(value * count for value, count in enumerate(band.histogram()))
        / band.width
        / band.height
        for band in image.convert("RGB").split()
    ]


def test_smaller_picture_stays_transparent(http, parts):
    clear = Image.new("RGBA", (200, 101), (250, 0, 0, 0))
    clear.paste((0, 0, 250, 255), (100, 0, 200, 101))
    job = finish(http, parts, encode(clear, "png", 0), "png")

    small = opened(http.get(f"{job}/result?width=40").data)

    assert small.getpixel((5, 5))[3] == 0
    assert small.getpixel((35, 5)) == (0, 0, 250, 255)


def test_smaller_picture_of_16_bits_has_8(http, parts):
    np = pytest.importorskip("numpy")
    job = finish(http, parts, encode_png16(np.full((101, 200, 3), 0x8000, np.uint16)), "png")

    small = opened(http.get(f"{job}/result?width=40").data)

    assert (small.mode, small.size, small.getpixel((3, 3))) == ("RGB", (40, 20), (128, 128, 128))


@pytest.mark.parametrize("path", ["snapshots/5", "snapshots/latest", "result"])
def test_every_picture_can_be_had_smaller_with_a_tag_of_its_own(http, job, path):
    whole, small, other = (
        http.get(f"{job}/{path}{query}") for query in ("", "?width=50", "?width=60")
    )
    tag = small.headers["ETag"]

    again = http.get(f"{job}/{path}?width=50", headers={"If-None-Match": tag})
    of_another = http.get(f"{job}/{path}", headers={"If-None-Match": tag})

    assert opened(small.data).width == 50
    assert len({answer.headers["ETag"] for answer in (whole, small, other)}) == 3
    assert (again.status_code, again.data) == (304, b"")
    assert of_another.status_code == 200
    assert small.headers["Cache-Control"] == whole.headers["Cache-Control"]


@pytest.mark.parametrize("width", [200, 2048])
def test_picture_is_never_enlarged(http, job, width):
    whole, asked = http.get(f"{job}/result"), http.get(f"{job}/result?width={width}")

    assert asked.data == whole.data == RESULT
    assert asked.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize("path", ["snapshots/5", "snapshots/latest", "result"])
@pytest.mark.parametrize(
    ("query", "code", "pointer"),
    [
        ("width=15", "greater_than_equal", "/width"),
        ("width=2049", "less_than_equal", "/width"),
        ("width=wide", "int_parsing", "/width"),
        ("width=", "int_parsing", "/width"),
        ("height=50", "extra_forbidden", "/height"),
    ],
)
def test_bad_query_is_refused(http, job, path, query, code, pointer):
    answer = http.get(f"{job}/{path}?{query}")

    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert answer.json["errors"][0]["pointer"] == pointer


def test_list_of_snapshots_takes_no_parameters(http, job):
    assert http.get(f"{job}/snapshots?width=50").status_code == 422


def test_smaller_picture_is_rendered_once(http, job, monkeypatch):
    rendered = []

    def render(data, media_type, width):
        rendered.append(width)
        return RESULT[:width]

    monkeypatch.setattr(pictures, "render", render)

    first, second = (http.get(f"{job}/result?width=50").data for _ in range(2))
    http.get(f"{job}/result?width=60")

    assert first == second == RESULT[:50]
    assert rendered == [50, 60]


@pytest.mark.parametrize("query", ["", "?width=50"])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("10-", 10, None), ("-7", -7, None), ("5-99999999", 5, None)],
)
def test_range_is_a_part_of_the_picture(http, job, query, asked, start, stop):
    whole = http.get(f"{job}/result{query}").data

    answer = http.get(f"{job}/result{query}", headers={"Range": f"bytes={asked}"})

    part = whole[start:stop]
    first = len(whole) + start if start < 0 else start
    assert (answer.status_code, answer.data) == (206, part)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    assert answer.headers["Content-Length"] == str(len(part))


def test_range_past_the_end_is_a_problem_that_says_the_length(http, job):
    answer = http.get(f"{job}/result", headers={"Range": f"bytes={len(RESULT)}-"})

    assert (answer.status_code, answer.json["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(RESULT)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "pixels=0-9", "bytes=nonsense", "0-9"])
def test_range_that_is_not_served_is_ignored(http, job, asked):
    answer = http.get(f"{job}/result", headers={"Range": asked})

    assert (answer.status_code, answer.data) == (200, RESULT)


def test_range_holds_only_for_the_picture_that_is_meant(http, job):
    tag = http.get(f"{job}/result").headers["ETag"]

    def get(meant: str):
        return http.get(f"{job}/result", headers={"Range": "bytes=0-9", "If-Range": meant})

    assert (get(tag).status_code, get(tag).data) == (206, RESULT[:10])
    assert (get('"another"').status_code, get('"another"').data) == (200, RESULT)


def test_picture_that_is_known_is_a_304_whatever_the_range(http, job):
    tag = http.get(f"{job}/result").headers["ETag"]

    answer = http.get(f"{job}/result", headers={"Range": "bytes=0-9", "If-None-Match": tag})

    assert answer.status_code == 304


@pytest.mark.parametrize("query", ["", "?width=50"])
def test_head_is_the_picture_without_its_bytes(http, job, query):
    whole = http.get(f"{job}/result{query}")

    answer = http.head(f"{job}/result{query}", headers={"Range": "bytes=0-9"})

    assert (answer.status_code, answer.data) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert answer.headers[name] == whole.headers[name]
    assert whole.headers["Accept-Ranges"] == "bytes"
