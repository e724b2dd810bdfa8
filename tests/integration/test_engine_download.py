"""The way to the ImageNet weights, against a real HTTP server that behaves well and badly."""

import hashlib
import multiprocessing
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from nst_core import weights
from nst_core.download import DownloadFailed, download
from nst_core.errors import WeightsUnavailable
from nst_core.random_weights import random_state
from nst_core.weights import load_network


class Files(BaseHTTPRequestHandler):
    """Serves `server.body`; the path says how badly."""

    def do_GET(self):
        body = self.server.body
        self.server.requests.append(self.path)
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path.startswith("/cut") else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.body, server.requests = bytes(range(256)) * 20_000, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def prefix(server):
    return hashlib.sha256(server.body).hexdigest()[:8]


def refused_url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/vgg19-00000000.pth"


def test_download_arrives_whole_and_tells_its_progress(server, tmp_path):
    told = []
    target = tmp_path / "new" / "file.pth"

    download(
        f"{server.url}/file",
        target,
        sha256_prefix=prefix(server),
        on_progress=lambda done, total: told.append((done, total)),
    )

    size = len(server.body)
    assert target.read_bytes() == server.body
    assert told[-1] == (size, size)
    assert len(told) > 2
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/missing", "answered 404"), ("/cut", "peer closed"), ("/file", "damaged")],
    ids=["not found", "cut off", "wrong hash"],
)
def test_failed_download_leaves_no_file(server, tmp_path, path, reason):
    target = tmp_path / "file.pth"
    expected = "00000000" if path == "/file" else prefix(server)

    with pytest.raises(DownloadFailed, match=reason):
        download(server.url + path, target, sha256_prefix=expected)

    assert not target.exists()


def test_refused_connection_is_a_failed_download(tmp_path):
    with pytest.raises(DownloadFailed, match="refused"):
        download(refused_url(), tmp_path / "file.pth", sha256_prefix="00000000")


def test_second_try_succeeds_after_a_cut_off_one(server, tmp_path):
    target = tmp_path / "file.pth"
    with pytest.raises(DownloadFailed):
        download(f"{server.url}/cut", target, sha256_prefix=prefix(server))

    download(f"{server.url}/file", target, sha256_prefix=prefix(server))

    assert target.read_bytes() == server.body


def test_processes_that_start_at_once_download_once(server, tmp_path):
    target = tmp_path / "file.pth"
    context = multiprocessing.get_context("spawn")

    workers = [
        context.Process(
            target=download,
            args=(f"{server.url}/file", target),
            kwargs={"sha256_prefix": prefix(server)},
        )
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert target.read_bytes() == server.body
    assert server.requests == ["/file"]


@pytest.fixture
def imagenet(server, tmp_path, monkeypatch):
    """Stand a small file in for torchvision's, at an address that ends in its hash."""
    state = {k: v for k, v in random_state().items() if k.split(".")[1] in ("0", "2")}
    torch.save(state, tmp_path / "saved.pth")
    server.body = (tmp_path / "saved.pth").read_bytes()
    monkeypatch.setattr(weights, "IMAGENET_URL", f"{server.url}/vgg19-{prefix(server)}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return server


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
def test_imagenet_is_downloaded_once_and_then_found(imagenet, tmp_path, choice):
    first = load_network(choice, cache_dir=tmp_path / "cache")
    second = load_network(choice, cache_dir=tmp_path / "cache")

    assert (first.name, first.notice) == ("imagenet", "")
    assert second.layers == first.layers
    assert len(imagenet.requests) == 1


def test_file_in_torchs_own_cache_is_used(imagenet, tmp_path):
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / weights.IMAGENET_URL.rpartition("/")[2]).write_bytes(imagenet.body)

    network = load_network("imagenet", cache_dir=tmp_path / "cache")

    assert network.name == "imagenet"
    assert imagenet.requests == []


def test_damaged_cached_file_is_fetched_anew(imagenet, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / weights.IMAGENET_URL.rpartition("/")[2]).write_bytes(b"half a file")

    network = load_network("imagenet", cache_dir=tmp_path / "cache")

    assert network.name == "imagenet"
    assert len(imagenet.requests) == 1


def test_imagenet_without_network_says_how_to_bring_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "IMAGENET_URL", refused_url())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    with pytest.raises(WeightsUnavailable) as caught:
        load_network("imagenet", cache_dir=tmp_path / "cache")

    assert weights.IMAGENET_URL in caught.value.hint
    assert str(tmp_path / "cache" / "vgg19-00000000.pth") in caught.value.hint
    assert "NST_WEIGHTS" in caught.value.hint


def test_auto_without_network_falls_back_to_random_with_a_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "IMAGENET_URL", refused_url())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    network = load_network("auto", cache_dir=tmp_path / "cache")

    assert network.name == "random"
    assert "RANDOM WEIGHTS" in network.notice
    assert "refused" in network.notice
    assert "nst weights fetch" in network.notice


def test_unwritable_cache_is_unavailable_weights(imagenet, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(WeightsUnavailable, match="could not be fetched"):
        load_network("imagenet", cache_dir=tmp_path / "cache")
