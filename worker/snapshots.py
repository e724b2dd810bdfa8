"""`Snapshots`: encodes and stores an attempt's snapshots in a thread, beside the steps.

Owns what a snapshot's file is; which steps have one is the runner's business.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from PIL import Image

from nst_core import images
from nst_jobs import artifacts, lifecycle
from nst_jobs.records import ArtifactKind
from nst_jobs.storage import Storage
from worker.lease import Lease

_FORMAT = "jpeg"
_QUALITY = 90


class Snapshots:
    """The snapshots of one attempt; its thread ends with the `with` block.

    At most one is on its way, so a slow file store slows the steps down rather than fill the
    memory. What goes wrong with it is raised by whichever method is called next.
    """

    def __init__(self, lease: Lease, storage: Storage) -> None:
        self._lease = lease
        self._storage = storage
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._latest: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def add(self, picture: Image.Image, *, step: int) -> None:
        """Have the picture of a step stored; waits for the one before it.

        Raises:
            StorageError: the one before it could not be stored.
            LeaseLost: the job is another attempt's.
        """
        self.flush()
        self._latest = self._executor.submit(self._store, picture, step)

    def check(self) -> None:
        """Raise what went wrong, if anything did, without waiting."""
        if self._latest is not None and self._latest.done():
            self.flush()

    def flush(self) -> None:
        """Return when all that were added are stored, bytes and rows.

        Raises:
            StorageError: one could not be stored.
            LeaseLost: the job is another attempt's.
        """
        latest, self._latest = self._latest, None
        if latest is not None:
            latest.result()

    def _store(self, picture: Image.Image, step: int) -> None:
        claim = self._lease.claim
        file = artifacts.store_picture(
            self._storage,
            claim.job_id,
            claim.attempt,
            ArtifactKind.SNAPSHOT,
            images.encode(picture, _FORMAT, _QUALITY),
            image_format=_FORMAT,
            extent=picture.size,
            step=step,
        )
        self._lease.write(lambda session: lifecycle.add_artifact(session, claim, file))
