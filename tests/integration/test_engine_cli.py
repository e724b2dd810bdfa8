import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nst_core import cli, engine
from nst_core.cli import stylize_command
from nst_core.errors import InvalidParams
from nst_core.png16 import encode_png16
from nst_core.weights_cli import weights_command


@pytest.fixture
def workplace(tmp_path, photo, painting):
    """A folder with two pictures."""
    photo.save(tmp_path / "photo.png")
    painting.save(tmp_path / "painting.png")
    return tmp_path


def stylize(folder, *arguments, output="out.png"):
    return CliRunner().invoke(
        stylize_command,
        [
            str(folder / "photo.png"),
            str(folder / "painting.png"),
            *("-o", str(folder / output), "--data-dir", str(folder / "data")),
            *("--weights", "random", "--size", "64", "--steps", "2", "--precision", "float32"),
            *arguments,
        ],
    )


def test_stylize_writes_the_picture_and_a_summary(workplace):
    result = stylize(workplace, "--json")

    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["weights"], summary["steps"], summary["finished"]) == ("random", 2, True)
    assert summary["params"]["size"] == 64
    with Image.open(workplace / "out.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (summary["width"], summary["height"]))


def test_stylize_says_nothing_on_stdout_but_json(workplace):
    assert stylize(workplace).stdout == ""


@pytest.mark.parametrize(
    ("output", "arguments", "expected"),
    [
        ("out.jpg", (), "JPEG"),
        ("out.WEBP", (), "WEBP"),
        ("out.picture", ("--format", "png"), "PNG"),
    ],
    ids=["jpg", "webp", "format option"],
)
def test_suffix_decides_the_format_unless_one_is_given(workplace, output, arguments, expected):
    result = stylize(workplace, *arguments, output=output)

    assert result.exit_code == 0, result.output
    with Image.open(workplace / output) as picture:
        assert picture.format == expected


@pytest.mark.parametrize(
    ("arguments", "output", "code", "message"),
    [
        ((), "out.tga", 2, "does not end in .png"),
        ((), "none/out.png", 2, "is not there"),
        (("--size", "5"), "out.png", 2, "--size"),
        (("--style-blend", "1,1,1"), "out.png", 1, "3 weights for 1 style"),
        (("--weights", "nowhere.pth"), "out.png", 1, "NST_WEIGHTS"),
    ],
    ids=["suffix", "folder", "limit", "blend", "weights"],
)
def test_mistake_is_told_with_its_remedy(workplace, arguments, output, code, message):
    result = stylize(workplace, *arguments, output=output)

    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output


def test_broken_picture_is_named(workplace):
    (workplace / "painting.png").write_bytes(b"no picture")

    result = stylize(workplace)

    assert result.exit_code == 1
    assert "painting.png" in result.output


def test_interrupt_writes_the_picture_so_far(workplace, monkeypatch):
    whole = engine.stylize

    def interrupted(*arguments, **options):
        steps = whole(*arguments, **options)
        yield next(steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "stylize", interrupted)

    result = stylize(workplace, "--json")

    assert result.exit_code == 130
    summary = json.loads(result.stdout)
    assert (summary["steps"], summary["finished"]) == (1, False)
    assert (workplace / "out.png").exists()


def test_bit_depth_16_writes_the_engines_samples_as_png(workplace, monkeypatch):
    samples = np.arange(45 * 64 * 3, dtype=np.uint16).reshape(45, 64, 3)
    whole = engine.stylize

    def in_16_bits(*arguments, **options):
        for progress in whole(*arguments, **options):
            yield SimpleNamespace(**{**vars(progress), "samples": lambda: samples})

    monkeypatch.setattr(engine, "stylize", in_16_bits)

    result = stylize(workplace, "--bit-depth", "16")

    assert result.exit_code == 0, result.output
    assert (workplace / "out.png").read_bytes() == encode_png16(samples)


@pytest.mark.parametrize("depth", ["8", "16"])
def test_cut_out_stays_a_cut_out(workplace, photo, depth):
    cut_out = photo.copy()
    alpha = Image.new("L", photo.size)
    alpha.paste(255, (0, 0, photo.width // 2, photo.height))
    cut_out.putalpha(alpha)
    cut_out.save(workplace / "photo.png")

    result = stylize(workplace, "--bit-depth", depth)

    assert result.exit_code == 0, result.output
    with Image.open(workplace / "out.png") as picture:
        assert picture.mode == "RGBA"
        assert [picture.getpixel((x, 9))[3] for x in (0, picture.width - 1)] == [255, 0]


def write_mask(folder, name, value=255, size=None):
    with Image.open(folder / "photo.png") as photo:
        Image.new("L", size or photo.size, value).save(folder / name)
    return ("--mask", str(folder / name))


def test_engine_is_given_the_masks_in_their_order(workplace, monkeypatch):
    heard = []

    def listen(content, styles, params, *, masks, **options):
        heard.extend(mask.getpixel((0, 0)) for mask in masks)
        raise InvalidParams("that is enough")
        yield

    monkeypatch.setattr(engine, "stylize", listen)
    second = str(workplace / "photo.png")

    result = stylize(
        workplace, second, *write_mask(workplace, "a.png", 40), *write_mask(workplace, "b.png", 50)
    )

    assert "that is enough" in result.output
    assert heard == [40, 50]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([{}, {}], "there are 2 masks for 1 styles"),
        ([{"value": 0}], "0.png is black everywhere"),
        ([{"size": (20, 40)}], "0.png is 20×40, of another shape"),
    ],
    ids=["count", "black", "shape"],
)
def test_mask_that_does_not_fit_is_refused(workplace, masks, message):
    options = [
        part
        for number, mask in enumerate(masks)
        for part in write_mask(workplace, f"{number}.png", **mask)
    ]

    result = stylize(workplace, *options)

    assert result.exit_code == 1
    assert message in result.output


def test_weights_come_from_the_environment(workplace, monkeypatch):
    monkeypatch.setenv("NST_WEIGHTS", str(workplace / "mine.pth"))
    command = [str(workplace / "photo.png"), str(workplace / "painting.png"), "-o", "out.png"]

    result = CliRunner().invoke(stylize_command, command)

    assert "mine.pth" in result.output


def test_missing_torch_is_told_with_its_remedy(workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    result = stylize(workplace)

    assert result.exit_code == 1
    assert "needs torch" in result.output
    assert "nst-server[worker]" in result.output


def test_check_tells_another_network(tmp_path):
    import torch  # noqa: PLC0415 - the commands above do without

    weights = {"features.0.weight": torch.ones(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}
    torch.save(weights, tmp_path / "other.pth")

    told = CliRunner().invoke(weights_command, ["check", str(tmp_path / "other.pth")])
    told_json = CliRunner().invoke(
        weights_command, ["check", str(tmp_path / "other.pth"), "--json"]
    )

    assert told.exit_code == told_json.exit_code == 1
    assert "is NOT VGG19" in told.output
    assert json.loads(told_json.stdout)["layers"][0]["expected"]["norm"] == 1420


def test_check_of_a_missing_file_has_a_remedy(tmp_path):
    result = CliRunner().invoke(weights_command, ["check", str(tmp_path / "none.pth")])

    assert result.exit_code == 1
    assert "none.pth" in result.output


def test_formats_are_those_of_the_params():
    from nst_core.params import StyleParams  # noqa: PLC0415 - used here alone

    schema = StyleParams.model_json_schema()["properties"]["format"]
    assert set(cli._FORMATS.values()) == set(schema["enum"])
