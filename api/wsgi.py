"""`python -m api.wsgi BIND PROCESSES`: the API under gunicorn.

Set up here rather than by gunicorn's own command, which would obey a `gunicorn.conf.py` in whatever
folder it is started from.
"""

import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped] # ships none

from api.app import serve_app
from api.seats import SEATS

_ANSWERING_THREADS = 32


def api_argv(bind_to: str, *, processes: int = 1) -> list[str]:
    """Return the command line of the API server."""
    return [sys.executable, "-P", "-m", "api.wsgi", bind_to, str(processes)]


class _Server(BaseApplication):  # type: ignore[misc] # as above
    def __init__(self, options: dict[str, object]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return serve_app()


def _let_go_of_those_who_wait(worker: Any) -> None:  # noqa: ANN401 - gunicorn's, untyped
    """Have streams end when the process is told to stop, rather than hold it up."""
    worker.wsgi.extensions["nst"].watcher.is_open = lambda: worker.alive


def main() -> None:
    """Serve until told to stop."""
    bind_to, processes = sys.argv[1:]
    _Server(
        {
            "bind": bind_to,
            "workers": int(processes),
            "worker_class": "gthread",
            # Those who wait hold one each; see `api.seats`.
            "threads": SEATS + _ANSWERING_THREADS,
            "graceful_timeout": 10,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_worker_init": _let_go_of_those_who_wait,
        }
    ).run()


if __name__ == "__main__":
    main()
