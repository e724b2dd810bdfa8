"""The file store: all of a file or nothing, and clear words when it cannot be."""

import os
from pathlib import Path

import pytest

from nst_jobs.errors import StorageError
from nst_jobs.storage import Storage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage((tmp_path / "fi les").as_uri())


def test_what_was_put_is_got(storage: Storage):
    storage.put("jobs/1/a1/x.png", b"abc")

    assert storage.get("jobs/1/a1/x.png") == b"abc"


def test_putting_again_replaces_the_whole(storage: Storage):
    storage.put("k", b"a longer text")
    storage.put("k", b"b")

    assert storage.get("k") == b"b"


def test_file_is_synced_before_it_has_its_name(storage: Storage, monkeypatch):
    calls = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), sync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))[1]
    )

    storage.put("a/b", b"1")

    assert calls[:2] == ["fsync", "rename"]
    assert calls[2:] == ["fsync"] * 2  # the folder of the file, and the root


def test_failed_write_leaves_nothing(storage: Storage, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match="No space left"):
        storage.put("a/b", b"1")

    assert [path for path in storage.root.rglob("*") if path.is_file()] == []


def test_missing_file_is_a_storage_error(storage: Storage):
    with pytest.raises(StorageError, match="not in the file store"):
        storage.get("no/such")


def test_deleting_what_is_not_there_is_no_error(storage: Storage):
    storage.delete("no/such")
    storage.delete_all("no")


def test_a_folder_is_deleted_with_all_in_it(storage: Storage):
    for key in ("jobs/1/a0/x", "jobs/1/a1/y", "jobs/2/a0/z"):
        storage.put(key, b"1")

    storage.delete_all("jobs/1")

    assert [path.name for path in storage.root.rglob("*") if path.is_file()] == ["z"]


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b"])
def test_key_cannot_leave_the_folder(storage: Storage, key: str):
    with pytest.raises(StorageError):
        storage.put(key, b"1")


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "/just/a/path", "file://host/path"])
def test_unknown_store_is_refused_with_the_remedy(url: str):
    with pytest.raises(StorageError) as refused:
        open_storage(url)

    assert "file:///" in refused.value.hint
