import pytest

from nst_core.estimate import (
    SMALLEST_TILE,
    WHOLE,
    Device,
    Speed,
    estimate,
    fitting_edge,
    gigaflops,
    least_bytes,
    needed_bytes,
)
from nst_core.params import StyleParams
from nst_core.schedule import Scale

GIBIBYTE = 2**30
SQUARE = Scale(1024, 1024, 10)


def machine(gibibytes=1024.0, **changes):
    return Device("cpu", round(gibibytes * GIBIBYTE), **{"bfloat16": False} | changes)


def test_picture_that_fits_is_taken_whole():
    found = estimate(StyleParams(size=512), machine())

    assert (found.tile_edge, found.fits) == (WHOLE, True)


def test_picture_that_does_not_fit_is_taken_in_tiles_that_do():
    found = estimate(StyleParams(size=2048), machine(3))

    assert SMALLEST_TILE <= found.tile_edge < 2048
    assert found.fits
    assert found.bytes <= 3 * GIBIBYTE


def test_larger_tiles_would_not_have_fitted():
    device = machine(3)

    edge = fitting_edge(StyleParams(), Scale(2048, 2048, 1), device)

    assert needed_bytes(StyleParams(), Scale(2048, 2048, 1), device, 2 * edge) > 3 * GIBIBYTE


def test_hopeless_picture_does_not_fit_in_the_smallest_tiles():
    found = estimate(StyleParams(size=4096), machine(1))

    assert (found.tile_edge, found.fits) == (SMALLEST_TILE, False)


def test_least_memory_is_a_fraction_of_the_whole():
    scale = Scale(4096, 3072, 1)

    least = least_bytes(StyleParams(), scale)

    assert least < needed_bytes(StyleParams(), scale, machine(), WHOLE) / 5


def test_shape_of_the_photo_counts():
    wide = estimate(StyleParams(size=1024), machine(), size=(2000, 1000))
    square = estimate(StyleParams(size=1024), machine())

    assert wide.bytes < 0.75 * square.bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "float32"},
        {"optimizer": "lbfgs"},
        {"content_layers": {"relu5_4": 1.0}},
    ],
    ids=["format", "optimiser", "layers"],
)
def test_what_a_job_asks_for_counts(changes):
    device = machine(bfloat16=True)
    plain = needed_bytes(StyleParams(), SQUARE, device, WHOLE)

    assert needed_bytes(StyleParams(**changes), SQUARE, device, WHOLE) > plain


def test_work_counts_the_layers_up_to_the_deepest():
    # VGG19 up to conv1_1: 2 · 9 · 3 · 64 operations a pixel, forward and backward.
    params = StyleParams(style_layers={"relu1_1": 1.0}, content_layers={"conv1_1": 1.0})

    assert gigaflops(params, SQUARE) == pytest.approx(2 * 2 * 9 * 3 * 64 * 1024**2 / 1e9)


def test_tiles_cost_more_than_half_again_as_much():
    whole = gigaflops(StyleParams(), SQUARE)

    assert (
        1.5 * whole < gigaflops(StyleParams(), SQUARE, 512) < gigaflops(StyleParams(), SQUARE, 128)
    )


def test_seconds_are_fixed_ones_and_those_of_the_work():
    speed = Speed(fixed_seconds=0.5, seconds_per_gigaflop=0.01)
    params = StyleParams(size=1024)

    found = estimate(params, machine(speed=speed))

    assert found.seconds_a_step == pytest.approx(0.5 + 0.01 * gigaflops(params, SQUARE))


def test_unmeasured_device_has_no_seconds():
    assert estimate(StyleParams(), machine()).seconds_a_step is None
