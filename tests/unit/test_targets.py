from dataclasses import replace

import pytest
import torch
from PIL import Image, ImageDraw

from nst_core.sources import Source
from nst_core.targets import (
    Lens,
    StatisticsOfTiles,
    TargetCache,
    histogram_tops,
    style_histograms,
    style_statistics,
)
from nst_core.vgg import Vgg
from tests.networks import narrow_network
from tests.objectives import mosaic

WHOLE = 1 << 20


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


@pytest.fixture
def lens(narrow):
    return Lens(narrow, "average", ("relu1_1", "relu3_1"), WHOLE)


@pytest.fixture
def looks(monkeypatch):
    """Note each time that a network looks at pixels."""
    looks, features = [], Vgg.features
    monkeypatch.setattr(
        Vgg, "features", lambda *args, **how: looks.append(1) or features(*args, **how)
    )
    return looks


def half_visible(picture):
    """A source whose right half is transparent."""
    alpha = Image.new("L", picture.size, 0)
    ImageDraw.Draw(alpha).rectangle((0, 0, picture.width // 2 - 1, picture.height), fill=255)
    return Source(picture, alpha)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for layer in expected:
        torch.testing.assert_close(found[layer].mean, expected[layer].mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            found[layer].second, expected[layer].second, rtol=1e-4, atol=1e-5
        )


def test_statistics_of_tiles_are_those_of_the_whole(lens):
    style = Source.of(mosaic(101, 69, seed=0))

    whole = style_statistics(lens, style, (101, 69), cache=None)
    tiled = style_statistics(replace(lens, edge=32), style, (101, 69), cache=None)

    assert_same(tiled, whole)


def test_weighted_statistics_of_tiles_are_those_of_the_whole(lens):
    style = half_visible(mosaic(101, 69, seed=0))

    whole = style_statistics(lens, style, (101, 69), cache=None)
    tiled = style_statistics(replace(lens, edge=32), style, (101, 69), cache=None)

    assert_same(tiled, whole)


def test_what_is_transparent_is_not_counted(lens):
    picture = mosaic(96, 64, seed=0)
    repainted = picture.copy()
    repainted.paste((255, 0, 255), (80, 0, 96, 64))  # farther away than relu3_1 looks

    ours, its = (
        style_statistics(lens, half_visible(each), (96, 64), cache=None)
        for each in (picture, repainted)
    )

    assert_same(its, ours)
    visible = style_statistics(lens, Source.of(repainted), (96, 64), cache=None)
    assert (visible["relu1_1"].mean - ours["relu1_1"].mean).abs().max() > 0.01


def test_histograms_of_tiles_are_those_of_the_whole(lens):
    style = half_visible(mosaic(101, 69, seed=0))
    tops = histogram_tops(style_statistics(lens, style, (101, 69), cache=None))

    whole = style_histograms(lens, style, (101, 69), tops)
    tiled = style_histograms(replace(lens, edge=32), style, (101, 69), tops)

    assert tops.keys() == whole.keys() == {"relu1_1"}
    assert (whole["relu1_1"] - tiled["relu1_1"]).abs().max() < 2e-3  # a value may change its bin
    torch.testing.assert_close(whole["relu1_1"].sum(dim=1), torch.ones(8))


def test_position_weighs_the_mean_of_its_pixels(lens):
    visible = torch.rand(64, 96, generator=torch.Generator().manual_seed(0))
    (tile,) = lens.tiles((96, 64))

    weights = lens.weights(visible, tile)

    assert torch.equal(weights["relu1_1"], visible)
    assert weights["relu3_1"].shape == (16, 24)
    assert weights["relu3_1"][2, 3].item() == pytest.approx(visible[8:12, 12:16].mean().item())


def test_sums_of_nothing_visible_are_finite():
    total = StatisticsOfTiles(("relu1_1",))

    total.add({"relu1_1": torch.ones(1, 2, 3, 3)}, {"relu1_1": torch.zeros(3, 3)})

    assert total.found()["relu1_1"].mean.tolist() == [0, 0]


def test_same_style_is_looked_at_once(lens, looks):
    cache, style = TargetCache(), mosaic(96, 64, seed=0)

    first, second = (
        style_statistics(lens, Source.of(style.copy()), (96, 64), cache=cache) for _ in range(2)
    )

    assert looks == [1]
    assert_same(second, first)


@pytest.mark.parametrize(
    "other",
    ["picture", "alpha", "size", "layers", "pooling", "edge", "format", "weights"],
)
def test_another_style_or_view_of_it_is_looked_at_anew(lens, narrow, looks, other):
    cache, style, size = TargetCache(), Source.of(mosaic(96, 64, seed=0)), (96, 64)
    style_statistics(lens, style, size, cache=cache)
    renamed = narrow_network()
    renamed.name = "other"
    before = len(looks)

    views = {
        "layers": replace(lens, layers=("relu1_1",)),
        "pooling": replace(lens, pooling="max"),
        "edge": replace(lens, edge=64),
        "format": replace(lens, network=narrow.to(dtype=torch.bfloat16)),
        "weights": replace(lens, network=renamed),
    }
    styles = {
        "picture": Source.of(mosaic(96, 64, seed=1)),
        "alpha": half_visible(mosaic(96, 64, seed=0)),
    }
    style_statistics(
        views.get(other, lens),
        styles.get(other, style),
        (48, 32) if other == "size" else size,
        cache=cache,
    )

    assert len(looks) > before


def test_full_cache_drops_what_was_not_asked_for_the_longest():
    cache, made = TargetCache(most=2), []

    def ask(key):
        return cache.get(key, lambda: made.append(key) or {})

    for key in ("a", "b", "a", "c", "a", "b"):
        ask(key)

    assert made == ["a", "b", "c", "b"]


def test_statistics_that_could_not_be_made_are_not_kept():
    cache = TargetCache()

    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.get("a", fail)
    found = cache.get("a", dict)

    assert found == {}
