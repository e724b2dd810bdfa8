"""Who makes a request, and whether they may: `Authorization: Bearer nst_…`.

Without `NST_REQUIRE_KEYS` everybody is the one local owner; such a server listens on loopback only.
"""

from datetime import UTC, datetime

from flask import Flask, g, request
from sqlalchemy.orm import Session

from api.errors import NotAllowed, Unauthorized
from api.services import services
from nst_jobs import keys
from nst_jobs.keys import Caller, Scope

#: Whose jobs they are where nobody is asked for a key.
LOCAL_OWNER = "local"
_LOCAL = Caller(LOCAL_OWNER, frozenset(Scope))
#: What is behind a key, and which scope opens it; all else is open: probes, schema, front page.
_GUARDED = {"/v1/jobs": Scope.JOBS, "/v1/workers": Scope.ADMIN}
_SCHEME = "bearer "


def register(app: Flask) -> None:
    """Have every guarded request checked before it is handled."""
    app.before_request(_admit)


def owner() -> str:
    """Return whose jobs the present request is about."""
    caller = g.caller
    if not isinstance(caller, Caller):
        raise TypeError(f"g.caller is {caller!r}")
    return caller.owner


def _admit() -> None:
    """Let the request pass, and remember who makes it.

    Raises:
        Unauthorized: there is no key, or it is not good.
        NotAllowed: the key does not open this.
    """
    wanted = _scope_of(request.path)
    if wanted is None:
        return
    if not services().settings.require_keys:
        g.caller = _LOCAL
        return
    with services().database.reading() as session:
        g.caller = _caller(session, request.headers.get("Authorization", ""))
    if wanted not in g.caller.scopes:
        raise NotAllowed(
            f"this key has no scope `{wanted}`", hint="Ask the operator for one that has it."
        )


def _scope_of(path: str) -> Scope | None:
    for start, scope in _GUARDED.items():
        if path == start or path.startswith(f"{start}/"):
            return scope
    return None


def _caller(session: Session, header: str) -> Caller:
    if not header:
        raise Unauthorized(
            "an API key is needed",
            hint="Send `Authorization: Bearer nst_…`; `nst keys create` makes one.",
        )
    token = header[len(_SCHEME) :].strip() if header.lower().startswith(_SCHEME) else ""
    caller = keys.caller(session, token)
    if caller is None:
        raise Unauthorized(
            "the API key is not known here, or was revoked",
            hint="See that it is sent whole, as `Authorization: Bearer nst_…`.",
        )
    if caller.is_to_be_noted(datetime.now(UTC)):
        with services().database.writing() as writing:
            keys.note_use(writing, caller)
    return caller
