"""API keys: who a client is, and what it may do.

A key is `nst_{id}_{secret}`. The table has the secret's SHA-256 only: it has 256 random bits, so a
hash made to be slow would protect nothing more.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from nst_jobs.database import database_now
from nst_jobs.errors import KeyNotFound
from nst_jobs.records import ApiKey

#: `last_used_at` is written no more often than this: a poll is to cost no write.
_USE_NOTED_SECONDS = 60
_TOKEN = re.compile(r"nst_([0-9a-f]{12})_([0-9a-f]{64})")


class Scope(StrEnum):
    """What a key allows."""

    #: Everything about the owner's own jobs.
    JOBS = "jobs"
    #: What concerns the whole service.
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    owner: str
    scopes: frozenset[Scope]
    #: Of the key, where there is one, and when it had last been used.
    key_id: str = ""
    last_used_at: datetime | None = None

    def is_to_be_noted(self, now: datetime) -> bool:
        """Return whether the key's last use is so long ago that this one is to be written down."""
        last = self.last_used_at
        return last is None or now - last > timedelta(seconds=_USE_NOTED_SECONDS)


def create(
    session: Session,
    owner: str,
    scopes: Collection[Scope],
    *,
    name: str = "",
    now: datetime | None = None,
) -> str:
    """Record a key; return it. This is the only time that it can be seen."""
    now = now or database_now(session)
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    session.execute(
        insert(ApiKey).values(
            id=key_id,
            owner=owner,
            name=name,
            scopes=" ".join(sorted(scopes)),
            secret_sha256=_hashed(secret),
            created_at=now,
        )
    )
    return f"nst_{key_id}_{secret}"


def caller(session: Session, token: str) -> Caller | None:
    """Return whose key it is; None when it is none, or was revoked."""
    parts = _TOKEN.fullmatch(token)
    key = session.get(ApiKey, parts[1]) if parts else None
    # The comparison takes as long for a key that does not exist.
    expected = key.secret_sha256 if key else _hashed("")
    genuine = hmac.compare_digest(_hashed(parts[2] if parts else "-"), expected)
    if key is None or not genuine or key.revoked_at is not None:
        return None
    return Caller(key.owner, frozenset(map(Scope, key.scopes.split())), key.id, key.last_used_at)


def note_use(session: Session, caller: Caller, *, now: datetime | None = None) -> None:
    """Remember that a key was used just now."""
    now = now or database_now(session)
    session.execute(update(ApiKey).where(ApiKey.id == caller.key_id).values(last_used_at=now))


def all_keys(session: Session) -> Sequence[ApiKey]:
    """Return every key, the oldest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def revoke(session: Session, key_id: str, *, now: datetime | None = None) -> None:
    """Have a key open nothing any more; doing it again changes nothing.

    Raises:
        KeyNotFound: there is no such key.
    """
    now = now or database_now(session)
    key = session.get(ApiKey, key_id)
    if key is None:
        raise KeyNotFound(f"there is no key {key_id}", hint="`nst keys list` shows them.")
    key.revoked_at = key.revoked_at or now


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
