import pickle

import pytest
import torch
from safetensors.torch import save_file

from nst_core.activations import EDGE, known_responses
from nst_core.errors import WeightsUnavailable
from nst_core.layers import LAYERS, downsampling
from nst_core.pixels import preprocess
from nst_core.random_weights import _SEED, _calibration_picture, random_state
from nst_core.vgg import Vgg
from nst_core.weights import load_network, read_state
from nst_core.weights_check import Report, check


@pytest.fixture(scope="module")
def state():
    """The random network's first two convolutions."""
    whole = random_state()
    return {name: whole[name] for name in whole if name.split(".")[1] in ("0", "2")}


def test_torchvisions_own_file_is_read(tmp_path):
    models = pytest.importorskip("torchvision.models")
    reference = models.vgg19(weights=None).state_dict()
    kept = {k: v for k, v in reference.items() if not k.startswith("classifier.0")}  # 400 MB less
    torch.save(kept, tmp_path / "vgg19.pth")

    network = load_network(str(tmp_path / "vgg19.pth"), cache_dir=tmp_path)

    assert network.layers[-1] == "pool5"
    assert network.name.startswith("file:vgg19@")
    found = network.features(torch.ones(1, 3, 32, 32), ["relu1_1"], border="zeros")["relu1_1"]
    wanted = Vgg(reference, name="").features(torch.ones(1, 3, 32, 32), ["relu1_1"], border="zeros")
    assert torch.equal(found, wanted["relu1_1"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_file_in_either_format_and_precision_is_read(tmp_path, state, suffix, dtype):
    halved = {name: tensor.to(dtype) for name, tensor in state.items()}
    path = tmp_path / f"cut{suffix}"
    torch.save(halved, path) if suffix == ".pth" else save_file(halved, path)

    network = load_network(str(path), cache_dir=tmp_path)

    assert network.dtype == torch.float32
    assert network.layers == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1")


def test_name_of_a_file_holds_the_start_of_its_hash(tmp_path, state):
    path = tmp_path / "mine.safetensors"
    save_file(state, path)
    first = load_network(str(path), cache_dir=tmp_path).name
    save_file({name: 2 * tensor for name, tensor in state.items()}, path)

    second = load_network(str(path), cache_dir=tmp_path).name

    assert first.startswith("file:mine@")
    assert len(first.partition("@")[2]) == 8
    assert first != second


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights at all",
        pickle.dumps({"a": print}, protocol=2),
        pickle.dumps([1, 2], protocol=2),
    ],
    ids=["empty", "text", "function", "list"],
)
def test_file_of_anything_else_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content)

    with pytest.raises(WeightsUnavailable, match="damaged or is no file of named tensors"):
        read_state(path)


def test_file_of_other_tensors_is_no_vgg19(tmp_path):
    save_file({"layer1.weight": torch.zeros(3)}, tmp_path / "resnet.safetensors")

    with pytest.raises(WeightsUnavailable, match="no VGG19"):
        load_network(str(tmp_path / "resnet.safetensors"), cache_dir=tmp_path)


def test_missing_file_says_what_weights_there_are(tmp_path):
    with pytest.raises(WeightsUnavailable) as caught:
        load_network("imagnet", cache_dir=tmp_path)

    assert "imagnet" in caught.value.message
    assert "auto, imagenet, random" in caught.value.hint


def test_random_network_is_the_same_every_time_and_whatever_was_drawn_before(tmp_path):
    first = load_network("random", cache_dir=tmp_path)
    torch.rand(5)
    second = load_network("random", cache_dir=tmp_path)

    picture = torch.rand(1, 3, 32, 32)
    layers = ["relu1_1", "relu3_1", "relu5_1"]
    pairs = (network.features(picture, layers) for network in (first, second))
    assert all(torch.equal(a, b) for a, b in zip(*(p.values() for p in pairs), strict=True))
    assert first.name == "random"


def test_random_network_responds_as_strongly_as_trained_vgg19(tmp_path):
    network = load_network("random", cache_dir=tmp_path)
    layers = [layer for layer in network.layers if layer.startswith("relu")]
    generator = torch.Generator().manual_seed(_SEED)

    found = network.features(_calibration_picture(generator), layers, "average")

    for layer in layers:
        rms = found[layer].square().mean().sqrt().item()
        channels, shrunk = found[layer].shape[1], EDGE // downsampling(layer)
        trained = known_responses()[layer].norm / (channels * shrunk**2) ** 0.5
        assert rms == pytest.approx(trained, rel=1e-3), layer


def test_channels_of_the_random_network_do_not_all_say_the_same(tmp_path, photo):
    network = load_network("random", cache_dir=tmp_path)

    found = network.features(preprocess(photo.resize((256, 256))), ["relu4_1"])["relu4_1"]

    maps = found[0].flatten(1)
    alive = maps[maps.std(dim=1) > 0]
    assert len(alive) > 0.9 * len(maps)
    assert torch.corrcoef(alive).abs().mean() < 0.7


def test_check_recognises_the_known_answer(monkeypatch, state):
    network = Vgg(state, name="file:cut@00000000")
    truth = {layer.layer: layer.found for layer in check(network).layers}
    monkeypatch.setattr("nst_core.weights_check.known_responses", lambda: truth)

    report = check(network.to(dtype=torch.float16).to(dtype=torch.float32))

    assert report.matches
    assert [layer.layer for layer in report.layers] == list(network.layers)


def test_check_refuses_another_network(state):
    report = check(Vgg(state, name="random"))

    assert not report.matches
    assert "is NOT VGG19" in report.as_text()


def test_check_sees_a_change_in_the_third_digit(monkeypatch, state):
    network = Vgg(state, name="file")
    truth = {layer.layer: layer.found for layer in check(network).layers}
    monkeypatch.setattr("nst_core.weights_check.known_responses", lambda: truth)
    changed = {**state, "features.2.weight": state["features.2.weight"] * 1.015}

    report: Report = check(Vgg(changed, name="file"))

    assert [layer.layer for layer in report.layers if not layer.matches] == [
        "conv1_2",
        "relu1_2",
        "pool1",
    ]


def test_known_answer_covers_every_layer():
    assert tuple(known_responses()) == LAYERS
