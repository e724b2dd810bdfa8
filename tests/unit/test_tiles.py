import itertools

import pytest
import torch

from nst_core.layers import downsampling, reach
from nst_core.tiles import cut
from tests.networks import narrow_network

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
SIZES = [(64, 48), (97, 131), (333, 205), (32, 32), (33, 31), (500, 32), (15, 40)]
EDGES = [16, 40, 64, 100, 1000]
LAYER_SETS = [STYLE, ("relu4_2",), ("relu1_1", "conv3_1"), ("pool3", "relu2_2"), ("relu1_2",)]


def positions(owned, window, step):
    """Return the places on the whole layer of what a tile owns of it, along one edge."""
    first, count = window.start // step, (window.stop - window.start) // step
    return range(first, first + count)[owned]


def owners(size, edge, layers, layer):
    """Return how many tiles own each position of a layer."""
    width, height = size
    step = downsampling(layer)
    counted = torch.zeros(height // step, width // step, dtype=torch.long)
    for tile in cut(width, height, edge, layers):
        rows, columns = tile.owned(layer)
        down = positions(rows, tile.window_rows, step)
        across = positions(columns, tile.window_columns, step)
        counted[down.start : down.stop, across.start : across.stop] += 1
    return counted


@pytest.mark.parametrize("layers", LAYER_SETS, ids=" ".join)
def test_each_position_of_each_layer_has_one_owner(layers):
    for size, edge, layer in itertools.product(SIZES, EDGES, layers):
        counted = owners(size, edge, layers, layer)

        assert (counted == 1).all(), (size, edge, layer)


@pytest.mark.parametrize("layers", LAYER_SETS, ids=" ".join)
def test_tiles_cover_every_pixel_once_and_look_at_none_outside(layers):
    for (width, height), edge in itertools.product(SIZES, EDGES):
        counted = torch.zeros(height, width, dtype=torch.long)

        for tile in cut(width, height, edge, layers):
            counted[tile.rows.slice, tile.columns.slice] += 1
            assert 0 <= tile.window_rows.start <= tile.rows.start
            assert tile.rows.stop <= tile.window_rows.stop <= height
            assert 0 <= tile.window_columns.start <= tile.columns.start
            assert tile.columns.stop <= tile.window_columns.stop <= width

        assert (counted == 1).all(), (width, height, edge)


def test_tiles_are_no_larger_than_the_edge():
    for (width, height), edge in itertools.product(SIZES, EDGES):
        step = downsampling("relu5_1")
        for tile in cut(width, height, edge, STYLE):
            # what whole positions leave over goes to the last tile
            longest = max(edge // step, 1) * step + step - 1
            assert tile.rows.stop - tile.rows.start <= longest
            assert tile.columns.stop - tile.columns.start <= longest


def test_tiles_are_of_like_size():
    tiles = cut(1024, 640, 500, STYLE)

    edges = {tile.columns.stop - tile.columns.start for tile in tiles}
    assert max(edges) - min(edges) <= downsampling("relu5_1")


def test_least_edge_leaves_one_position_of_the_deepest_layer():
    tiles = cut(97, 64, 1, STYLE)

    assert len(tiles) == 6 * 4


def test_edge_beyond_the_picture_gives_one_tile():
    (tile,) = cut(333, 205, 1 << 20, STYLE)

    assert tile.window == (slice(0, 205), slice(0, 333))


@pytest.mark.parametrize("layers", LAYER_SETS, ids=" ".join)
def test_windows_begin_at_whole_positions(layers):
    step = max(map(downsampling, layers))

    for tile in cut(333, 205, 64, layers):
        assert tile.window_rows.start % step == 0
        assert tile.window_columns.start % step == 0


@pytest.mark.parametrize(
    "layer", ["conv1_1", "relu1_2", "pool1", "conv2_1", "relu3_4", "pool3", "relu4_2", "relu5_1"]
)
def test_reach_is_how_far_the_network_looks(layer):
    """With positive weights no gradient cancels, so it shows the whole receptive field."""
    network = positive_network()
    step, middle = downsampling(layer), 160 // downsampling(layer)
    picture = torch.rand(1, 3, 16, 320).requires_grad_()

    features = network.features(picture, [layer], "average")[layer]
    features[..., middle].sum().backward()

    (seen,) = picture.grad.abs().sum(dim=(0, 1, 2)).nonzero(as_tuple=True)
    assert middle * step - seen.min().item() == reach(layer)
    assert seen.max().item() - ((middle + 1) * step - 1) == reach(layer)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("edge", [32, 48])
def test_features_of_tiles_are_those_of_the_whole(edge, pooling):
    network, layers = narrow_network(), ("relu2_2", "conv4_1", "relu5_1")
    picture = torch.randn(1, 3, 69, 101, generator=torch.Generator().manual_seed(0))
    whole = network.features(picture, layers, pooling)

    for tile in cut(101, 69, edge, layers):
        found = network.features(picture[(..., *tile.window)], layers, pooling)
        for layer in layers:
            step = downsampling(layer)
            rows, columns = tile.owned(layer)
            down = positions(rows, tile.window_rows, step)
            across = positions(columns, tile.window_columns, step)
            expected = whole[layer][..., down.start : down.stop, across.start : across.stop]
            torch.testing.assert_close(found[layer][..., rows, columns], expected)


def positive_network():
    network = narrow_network()
    for conv in network._convs.values():
        for tensor in (conv.weight, conv.turned):
            tensor.fill_(0.1)
        conv.bias.fill_(0.1)
    return network
