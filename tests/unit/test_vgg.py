import pytest
import torch
from torch.nn import functional

from nst_core import vgg
from nst_core.convolution import Convolution
from nst_core.errors import WeightsUnavailable
from nst_core.layers import LAYERS, depth
from nst_core.vgg import Vgg

CONVS = [name for name in LAYERS if name.startswith("conv")]


def narrow_state(width=4, last="conv5_4"):
    generator = torch.Generator().manual_seed(0)
    state, before = {}, 3
    for name in CONVS[: CONVS.index(last) + 1]:
        key = f"features.{depth(name)}"
        state[f"{key}.weight"] = torch.randn(width, before, 3, 3, generator=generator) / 4
        state[f"{key}.bias"] = torch.randn(width, generator=generator)
        before = width
    return state


def noise(height, width):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_features_equal_torchvisions_network():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    reference = models.vgg19(weights=None).eval()
    network = Vgg(reference.state_dict(), name="file")
    picture = noise(37, 50)

    found = network.features(picture, ["relu1_1", "pool2", "relu5_4"], border="zeros")

    for layer, tensor in found.items():
        expected = reference.features[: depth(layer) + 1](picture)
        torch.testing.assert_close(tensor, expected)


def test_only_needed_layers_run(monkeypatch):
    network = Vgg(narrow_state(), name="file")
    run = []
    of = {id(conv): name for name, conv in network._convs.items()}
    convolve, pool = Convolution.__call__, vgg._pool
    monkeypatch.setattr(
        Convolution,
        "__call__",
        lambda self, *args, **how: run.append(of[id(self)]) or convolve(self, *args, **how),
    )
    monkeypatch.setattr(vgg, "_pool", lambda *args: run.append("pool") or pool(*args))

    network.features(noise(32, 32), ["relu2_1", "relu1_1"])

    assert run == ["conv1_1", "conv1_2", "pool", "conv2_1"]


def test_convolution_asked_for_by_name_comes_before_its_relu():
    network = Vgg(narrow_state(), name="file")
    picture = noise(16, 16)

    found = network.features(picture, ["conv1_1", "relu1_1", "conv2_1", "relu2_1"])
    alone = network.features(picture, ["relu2_1"])

    assert found["conv1_1"].min() < 0
    assert torch.equal(found["relu1_1"], found["conv1_1"].relu())
    assert found["conv2_1"].min() < 0
    assert torch.equal(found["relu2_1"], alone["relu2_1"])


def test_picture_of_16_pixels_leaves_one_at_relu5_1():
    network = Vgg(narrow_state(), name="file")

    found = network.features(noise(16, 31), ["relu5_1"])

    assert found["relu5_1"].shape == (1, 4, 1, 1)


def test_pooling_is_max_or_average():
    network = Vgg(narrow_state(), name="file")
    picture = noise(8, 8)

    before = network.features(picture, ["relu1_2"])["relu1_2"]

    largest = network.features(picture, ["pool1"], "max")["pool1"]
    mean = network.features(picture, ["pool1"], "average")["pool1"]
    assert torch.equal(largest, functional.max_pool2d(before, 2))
    torch.testing.assert_close(mean, functional.avg_pool2d(before, 2))


def test_border_repeats_the_edge_pixel():
    network = Vgg(narrow_state(), name="file")
    picture = noise(6, 7)

    found = network.features(picture, ["conv1_1", "relu1_1", "conv1_2"])

    for source, layer in ((picture, "conv1_1"), (found["relu1_1"], "conv1_2")):
        conv = network._convs[layer]
        padded = functional.pad(source, (1,) * 4, mode="replicate")
        torch.testing.assert_close(found[layer], functional.conv2d(padded, conv.weight, conv.bias))


def test_flat_picture_has_no_frame_in_any_layer():
    network = Vgg(narrow_state(), name="file")

    features = network.features(torch.full((1, 3, 32, 32), 0.7), network.layers[:30])

    for found in features.values():
        torch.testing.assert_close(found, found[..., :1, :1].expand_as(found))


def test_gradient_of_picture_agrees_with_finite_differences():
    network = Vgg(narrow_state(width=2), name="file").to(dtype=torch.float64)
    picture = noise(6, 5).double().requires_grad_()

    assert torch.autograd.gradcheck(
        lambda x: network.features(x, ["relu2_1"], "average")["relu2_1"], picture
    )


def test_cut_weights_name_the_missing_layer():
    network = Vgg(narrow_state(last="conv2_2"), name="file:cut@00000000")

    assert network.layers[-1] == "pool2"
    with pytest.raises(WeightsUnavailable, match=r"end at pool2; relu4_2 is missing"):
        network.features(noise(32, 32), ["relu1_1", "relu4_2"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.clear(),
        lambda state: state.update({"features.0.weight": torch.zeros(4, 1, 3, 3)}),
        lambda state: state.update({"features.2.bias": torch.zeros(7)}),
        lambda state: state.pop("features.2.bias"),
        lambda state: state.update({"features.5.weight": torch.zeros(4, 9, 3, 3)}),
    ],
    ids=["empty", "grey input", "bias of another width", "no bias", "gap in widths"],
)
def test_other_networks_are_refused(damage):
    state = narrow_state()
    damage(state)

    with pytest.raises(WeightsUnavailable, match="no VGG19"):
        Vgg(state, name="file")
