"""`python -m api.wsgi BIND PROCESSES`: the API under gunicorn.

Set up here rather than by gunicorn's own command, which would obey a `gunicorn.conf.py` in whatever
folder it is started from.
"""

import sys

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped] # ships none

from api.app import serve_app


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


def main() -> None:
    """Serve until told to stop."""
    bind_to, processes = sys.argv[1:]
    _Server(
        {
            "bind": bind_to,
            "workers": int(processes),
            "worker_class": "gthread",
            "threads": 8,
            "graceful_timeout": 10,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
    ).run()


if __name__ == "__main__":
    main()
