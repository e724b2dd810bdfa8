"""The rows that point at stored files: who wrote which, and which one counts.

Owns keys and look-ups; the bytes are `storage`'s. Every key holds the attempt, so a zombie can
overwrite nothing.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from nst_core.images import MEDIA_TYPES, SUFFIXES
from nst_jobs.database import Database
from nst_jobs.records import Artifact, ArtifactKind, Job
from nst_jobs.storage import Storage

#: Prefix of every job's keys.
FOLDER = "jobs"


@dataclass(frozen=True)
class StoredFile:
    """A file that is already safe in storage and may now be pointed at."""

    kind: ArtifactKind
    key: str
    media_type: str
    size: int
    sha256: str
    step: int = 0
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Inputs:
    """The files of a submission; there is a mask for each style, or none."""

    content: Artifact
    styles: Sequence[Artifact]
    masks: Sequence[Artifact]


def folder(job_id: str) -> str:
    """Return the prefix of every key of a job."""
    return f"{FOLDER}/{job_id}"


def store_picture(  # noqa: PLR0913 - what a row and its file need
    storage: Storage,
    job_id: str,
    attempt: int,
    kind: ArtifactKind,
    data: bytes,
    *,
    image_format: str,
    extent: tuple[int, int],
    step: int = 0,
) -> StoredFile:
    """Store an encoded picture of `extent` (width, height) pixels; the row comes after.

    Raises:
        StorageError: the bytes could not be made durable.
    """
    key = f"{folder(job_id)}/a{attempt}/{kind}-{step:06d}{SUFFIXES[image_format]}"
    storage.put(key, data)
    width, height = extent
    return StoredFile(
        kind, key, MEDIA_TYPES[image_format], len(data), _sha256(data), step, width, height
    )


def copy_input(storage: Storage, job_id: str, file: Artifact) -> StoredFile:
    """Store a picture of another job's submission for this one.

    Raises:
        StorageError: it could not be read, or not made durable.
    """
    key = f"{folder(job_id)}/a0/{file.key.rpartition('/')[2]}"
    storage.put(key, storage.get(file.key))
    return StoredFile(
        file.kind, key, file.media_type, file.size, file.sha256, file.step, file.width, file.height
    )


def store_checkpoint(
    storage: Storage, job_id: str, attempt: int, data: bytes, *, step: int
) -> StoredFile:
    """Store resumable machine state; the row comes after.

    Raises:
        StorageError: the bytes could not be made durable.
    """
    kind = ArtifactKind.CHECKPOINT
    key = f"{folder(job_id)}/a{attempt}/{kind}-{step:06d}"
    storage.put(key, data)
    return StoredFile(kind, key, "application/octet-stream", len(data), _sha256(data), step)


def add(session: Session, job_id: str, attempt: int, file: StoredFile, now: datetime) -> None:
    """Point at a stored file, once; `lifecycle` calls this behind its fence."""
    if known_keys(session, [file.key]):
        return
    session.execute(
        insert(Artifact).values(
            job_id=job_id,
            attempt=attempt,
            kind=file.kind,
            step=file.step,
            key=file.key,
            media_type=file.media_type,
            size=file.size,
            sha256=file.sha256,
            width=file.width,
            height=file.height,
            created_at=now,
        )
    )


def inputs(session: Session, job_id: str) -> Inputs:
    """Return what came with the submission, each kind in its order."""
    kinds = (ArtifactKind.CONTENT, ArtifactKind.STYLE, ArtifactKind.MASK)
    found = _of(session, job_id, *kinds)
    (content,), styles, masks = ([file for file in found if file.kind == kind] for kind in kinds)
    return Inputs(content, styles, masks)


def snapshots(session: Session, job_id: str) -> list[Artifact]:
    """Return the snapshots by step; where two attempts made one, the later attempt's."""
    return snapshots_of(session, [job_id]).get(job_id, [])


def snapshots_of(session: Session, job_ids: Collection[str]) -> dict[str, list[Artifact]]:
    """Return the same for several jobs by one query; a job without any is left out."""
    found = session.scalars(
        select(Artifact)
        .where(Artifact.job_id.in_(job_ids), Artifact.kind == ArtifactKind.SNAPSHOT)
        .order_by(Artifact.step, Artifact.attempt)
    )
    by_step: dict[str, dict[int, Artifact]] = {}
    for file in found:
        by_step.setdefault(file.job_id, {})[file.step] = file
    return {job_id: list(files.values()) for job_id, files in by_step.items()}


def result(session: Session, job_id: str) -> Artifact | None:
    """Return the result, if there is one."""
    return next(iter(_of(session, job_id, ArtifactKind.RESULT)), None)


def latest_checkpoint(session: Session, job_id: str) -> Artifact | None:
    """Return the checkpoint to go on from, if there is one."""
    return next(reversed(_of(session, job_id, ArtifactKind.CHECKPOINT)), None)


def known_keys(session: Session, keys: Sequence[str]) -> set[str]:
    """Return those of some keys that a row points at."""
    return set(session.scalars(select(Artifact.key).where(Artifact.key.in_(keys))))


def drop_checkpoints(session: Session, job_id: str) -> list[str]:
    """Delete the rows of a job's checkpoints; return the keys, whose files may go."""
    gone = delete(Artifact).where(
        Artifact.job_id == job_id, Artifact.kind == ArtifactKind.CHECKPOINT
    )
    return list(session.scalars(gone.returning(Artifact.key)))


def discard_checkpoints(database: Database, storage: Storage, job_id: str) -> None:
    """Delete the checkpoints of a job that has ended: first the rows, then the files."""
    with database.writing() as session:
        gone = drop_checkpoints(session, job_id)
    for key in gone:
        storage.delete(key)


def drop_spent_checkpoints(session: Session) -> list[str]:
    """Delete the rows of checkpoints whose jobs have ended; return the keys, whose files may go."""
    ended = select(Job.id).where(Job.finished_at.is_not(None))
    gone = delete(Artifact).where(
        Artifact.kind == ArtifactKind.CHECKPOINT, Artifact.job_id.in_(ended)
    )
    return list(session.scalars(gone.returning(Artifact.key)))


def _of(session: Session, job_id: str, *kinds: ArtifactKind) -> Sequence[Artifact]:
    return session.scalars(
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind.in_(kinds))
        .order_by(Artifact.step, Artifact.attempt)
    ).all()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
