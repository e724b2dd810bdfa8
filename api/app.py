"""The Flask app: `create_app` for gunicorn and for tests."""

from flask import Flask, Response

from api import access, events, jobs, losses, pictures, problems, system
from api.schemas import MAX_FILES
from api.services import Services, install
from nst_jobs import logs, sweeper
from nst_jobs.settings import Settings, read_settings

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
#: For the text fields and the multipart framing.
_FORM_BYTES = 2**20


def create_app(settings: Settings) -> Flask:
    """Return the API over the parts that `settings` name; nothing is contacted yet."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes * MAX_FILES + _FORM_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # of the default provider
    install(app.extensions, Services.connect(settings))
    problems.register(app)
    access.register(app)
    for module in (system, jobs, pictures, losses, events):
        app.register_blueprint(module.blueprint)
    app.after_request(_secure)
    return app


def serve_app() -> Flask:
    """Return the API as a gunicorn process runs it: configured from the environment, sweeping."""
    settings = read_settings()
    logs.configure(settings.log_format)
    app = create_app(settings)
    parts = app.extensions["nst"]
    sweeper.start(settings, parts.database, parts.queue, parts.storage)
    return app


def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
