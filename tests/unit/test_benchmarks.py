"""What the benchmarks measure with is right: the judge, the opponent and the verdicts."""

import pytest
import torch
from PIL import Image

from benchmarks import baseline, distances, network
from benchmarks.distances import Distances, Ruler
from benchmarks.quality import Snapshot, Trace
from benchmarks.report import Goal, Row
from nst_core.layers import LAYERS, WIDTHS


@pytest.fixture
def convs():
    """VGG19's shape, four channels wide."""
    generator = torch.Generator().manual_seed(0)
    found, before = {}, 3
    for name in LAYERS:
        if name.startswith("conv"):
            found[name] = torch.randn(4, before, 3, 3, generator=generator) / 4, torch.zeros(4)
            before = 4
    return found


def covariance(seed):
    maps = torch.randn(5, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return maps @ maps.T / 40


def noise(seed, edge=64):
    unit = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(seed))
    return baseline.to_picture(unit)


def test_ruler_finds_no_distance_where_there_is_none(convs):
    picture = noise(0)

    found = Ruler(picture, picture, convs, long_edge=64).measure(picture)

    assert found.content == 0
    assert found.gram == 0
    assert found.wasserstein == pytest.approx(0, abs=1e-6)


def test_ruler_sees_which_picture_is_nearer(convs):
    photo, style = noise(0), Image.new("RGB", (64, 64), "orange")
    ruler = Ruler(photo, style, convs, long_edge=64)

    of_photo, of_mixture, of_style = (
        ruler.measure(picture) for picture in (photo, Image.blend(photo, style, 0.5), style)
    )

    assert of_photo.content < of_mixture.content < of_style.content
    assert of_style.gram < of_mixture.gram < of_photo.gram
    assert of_style.wasserstein < of_mixture.wasserstein < of_photo.wasserstein


def test_wasserstein_distance_of_scaled_features_is_the_known_one():
    maps = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    style, ours = distances.Statistics(maps), distances.Statistics(3 * maps)

    found = distances.wasserstein_distance(ours, style)

    # x → 3x is itself the optimal transport: E|3x − x|² = 4 E|x|²
    assert found == pytest.approx(4)


@pytest.mark.parametrize(
    "square_root", [distances.square_root, baseline.square_root], ids=["judge", "baseline"]
)
def test_square_root_squared_is_the_matrix(square_root):
    matrix = covariance(0)

    root = square_root(matrix)

    torch.testing.assert_close(root @ root, matrix)


def test_gradient_of_baselines_square_root_is_that_of_eigenvalues():
    matrix, direction = covariance(0), covariance(1)
    values, vectors = torch.linalg.eigh(matrix)
    sums = values.sqrt()[:, None] + values.sqrt()[None, :]
    expected = vectors @ ((vectors.T @ direction @ vectors) / sums) @ vectors.T

    matrix.requires_grad_()
    (found,) = torch.autograd.grad(baseline.square_root(matrix), matrix, direction)

    torch.testing.assert_close(found, expected)


def test_total_variation_of_a_slope_counts_eight_neighbours():
    slope = torch.arange(4.0).expand(1, 3, 4, 4) / 10

    found = baseline.total_variation(slope)

    # 3 of 4 columns differ to the right, 3 of 5 along each diagonal of the bordered picture
    assert found.item() == pytest.approx(2 * 0.01 * (3 / 4 / 3 + 2 * 3 / 5 / 12))


def test_published_scales_are_a_root_of_two_apart():
    scales = baseline.published_scales(256, (150, 80, 80))

    assert [(scale.edge, scale.steps) for scale in scales] == [(128, 150), (181, 80), (256, 80)]


def test_baseline_approaches_the_style_and_ends_at_its_size(convs):
    photo, style = noise(0), noise(1, 32)
    scales = baseline.published_scales(64, (6, 6))
    ruler = Ruler(photo, style, convs, long_edge=64)

    *_, last = baseline.stylize(photo, style, convs, scales=scales)

    assert last.step == 12
    assert last.picture().size == (64, 64)
    assert ruler.measure(last.picture()).wasserstein < ruler.measure(photo).wasserstein


def test_multiply_adds_are_those_of_vgg19():
    convs, before = {}, 3
    for name in LAYERS:
        if name.startswith("conv"):
            width = WIDTHS[int(name[4]) - 1]
            convs[name] = torch.empty(width, before, 3, 3, device="meta"), torch.empty(width)
            before = width

    found = network.multiply_adds(convs, ("relu4_2", "relu5_1"), width=224, height=224)

    # 18.4 billion forward up to conv5_1, counted by hand, and as many backward
    per_block = (1_728 + 36_864, 73_728 + 147_456, 294_912 + 3 * 589_824, 1_179_648 + 3 * 2_359_296)
    forward = sum(
        count * (224 >> place) ** 2 for place, count in enumerate((*per_block, 2_359_296))
    )
    assert found == 2 * forward


def test_trace_finds_the_first_snapshot_within_all_distances():
    trace = Trace.__new__(Trace)
    trace.snapshots = [
        Snapshot(10, 1.0, 1, Distances(0.1, 0.5, 0.9)),
        Snapshot(20, 2.0, 2, Distances(0.2, 0.3, 0.4)),
        Snapshot(30, 3.0, 3, Distances(0.2, 0.2, 0.2)),
    ]

    assert trace.first_within(Distances(0.2, 0.3, 0.4)).step == 20
    assert trace.first_within(Distances(0.1, 0.3, 0.4)) is None
    assert trace.first_at("content", 0.1).step == 10


@pytest.mark.parametrize(
    ("goal", "ratio", "verdict"),
    [
        (Goal("at most", 1.1), 1.1, "met"),
        (Goal("at most", 1.1), 1.2, "not met"),
        (Goal("at least", 1.7), 1.8, "met"),
        (Goal("within", 0.15), 0.8, "not met"),
        (Goal("at most", 0.25), None, "not met"),
        (None, 1.0, "–"),
    ],
)
def test_verdict_follows_the_goal(goal, ratio, verdict):
    assert Row("row", "case", ratio, "", goal).verdict == verdict
