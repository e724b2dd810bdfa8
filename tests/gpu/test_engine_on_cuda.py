"""The engine's promises on a CUDA device; skipped where there is none."""

import numpy as np
import pytest
import torch

from nst_core.estimate import WHOLE
from nst_core.objective import Objective
from nst_core.pixels import preprocess
from nst_core.schedule import Scale
from nst_core.sources import Sources
from nst_core.wasserstein import roots_by_eigenvalues, roots_by_newton_schulz
from tests.stylings import apart, run, small, stop_at

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="module")
def on_cuda(network):
    return network.to(device=torch.device("cuda"))


def gradient(photo, painting, params, network, *, edge=WHOLE):
    sources = Sources.prepare(photo, [painting], (), params)
    scale = Scale(photo.width, photo.height, 1)
    objective = Objective(sources, params, network=network, scale=scale, tile_edge=edge)
    pixels = preprocess(painting, photo.size).to(network.device).requires_grad_()
    objective.evaluate(pixels)
    return pixels.grad.cpu()


def relative(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
def test_gradient_is_the_cpus(photo, painting, network, on_cuda, loss):
    params = small(loss=loss, style_layers={"relu1_1": 0.5, "relu2_1": 0.5})

    found = gradient(photo, painting, params, on_cuda)

    assert relative(found, gradient(photo, painting, params, network)) < 0.05


def test_gradient_in_tiles_is_the_whole_ones(photo, painting, on_cuda):
    params = small(style_layers={"relu1_1": 0.5, "relu2_1": 0.5})

    whole = gradient(photo, painting, params, on_cuda)

    assert relative(gradient(photo, painting, params, on_cuda, edge=32), whole) < 1e-3


def test_newton_schulz_finds_the_roots_of_the_eigenvalues():
    factor = torch.randn(256, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = factor @ factor.T

    trace, inverse = roots_by_newton_schulz(matrix.float().cuda())

    wanted, wanted_inverse = roots_by_eigenvalues(matrix)
    assert trace.item() == pytest.approx(wanted.item(), rel=1e-3)
    assert relative(inverse.cpu().double(), wanted_inverse) < 1e-2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_runs_are_alike_bit_for_bit(photo, painting, on_cuda, precision):
    params = small(precision=precision)

    first, second = (run(photo, [painting], params, on_cuda).samples() for _ in range(2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("step", [3, 11, 17])
def test_resumed_run_is_the_uninterrupted_one(photo, painting, on_cuda, optimizer, step):
    params = small(steps=24, optimizer=optimizer)
    saved = stop_at(step, photo, [painting], params, on_cuda)

    resumed = run(photo, [painting], params, on_cuda, resume=saved)

    whole = run(photo, [painting], params, on_cuda)
    assert np.array_equal(resumed.samples(), whole.samples())


def test_result_is_like_the_cpus(photo, painting, network, on_cuda):
    found = run(photo, [painting], small(), on_cuda).picture()

    assert apart(found, run(photo, [painting], small(), network).picture()) < 8


def test_little_memory_leads_to_tiles(photo, painting, on_cuda):
    progress = run(photo, [painting], small(), on_cuda, memory_bytes=1)

    assert progress.scale.tiles > 1
