"""What would stop nst-server from working on this machine, and the remedy."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from nst_core.errors import NstError
from nst_core.estimate import Device, Speed, estimate, largest_size
from nst_core.machine import USABLE
from nst_core.params import StyleParams
from nst_jobs.database import Database
from nst_jobs.queue import BROKER_ERRORS, Queue, make_celery
from nst_jobs.settings import Settings
from nst_jobs.storage import open_storage

_ROOM_BYTES = 2 * 2**30
_MARKS = {"ok": "ok  ", "warning": "WARN", "error": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, and what to do about it."""

    name: str
    level: Literal["ok", "warning", "error"]
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a server or worker on this machine needs."""
    return [_guarded(look, settings) for look in LOOKS]


def as_text(findings: list[Finding]) -> str:
    """Return the findings as lines for people."""
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]} {finding.name}: {finding.detail}")
        if finding.remedy:
            lines.append(f"       {finding.remedy}")
    return "\n".join(lines)


def as_json(findings: list[Finding]) -> str:
    """Return the findings as JSON."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def _guarded(look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return look(settings)
    except (NstError, OSError) as error:
        name = look.__name__.removeprefix("_")
        return Finding(name, "error", str(error), getattr(error, "hint", ""))


def _python(_settings: Settings) -> Finding:
    return Finding("python", "ok", sys.version.split()[0])


def _data_dir(settings: Settings) -> Finding:
    folder = settings.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    detail = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < _ROOM_BYTES:
        remedy = "Make room, or choose another folder with NST_DATA_DIR."
        return Finding("data_dir", "warning", detail, remedy)
    return Finding("data_dir", "ok", detail)


def _database(settings: Settings) -> Finding:
    database = Database(settings.database)
    shown = database.engine.url.render_as_string(hide_password=True)
    try:
        with database.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        remedy = "See that the server runs and that NST_DATABASE_URL is right."
        return Finding("database", "error", f"{shown}: {error}", remedy)
    try:
        with database.reading() as session:
            session.execute(text("SELECT 1 FROM job LIMIT 1"))
    except SQLAlchemyError:
        remedy = "Run `nst migrate`; `nst serve` does it by itself."
        return Finding("database", "warning", f"{shown} has no tables yet", remedy)
    return Finding("database", "ok", shown)


def _broker(settings: Settings) -> Finding:
    if not settings.broker_url:
        return Finding("broker", "ok", "none set: `nst serve` starts a Valkey of its own")
    try:
        Queue(make_celery(settings)).depth()
    except BROKER_ERRORS as error:
        remedy = "See that Redis or Valkey runs and that NST_BROKER_URL is right."
        return Finding("broker", "error", f"does not answer: {error}", remedy)
    return Finding("broker", "ok", "answers")


def _storage(settings: Settings) -> Finding:
    open_storage(settings.storage).check()
    return Finding("storage", "ok", settings.storage)


def _engine(_settings: Settings) -> Finding:
    missing = [name for name in ("torch", "torchvision", "safetensors") if not find_spec(name)]
    if missing:
        remedy = "A machine that computes needs: pip install 'nst-server[worker]'"
        return Finding("engine", "warning", f"{', '.join(missing)} not installed", remedy)
    return Finding("engine", "ok", "torch is installed")


def _capacity(settings: Settings) -> Finding:
    """Say what size of result this machine takes, and how quickly."""
    if not find_spec("torch"):
        return Finding("capacity", "ok", "no torch here, so nothing is computed here")
    described = _describe_device(settings)
    usable = round(USABLE * settings.memory_share * described.memory_bytes)
    device = replace(described, memory_bytes=usable)
    whole, largest = (largest_size(device, whole=flag) for flag in (True, False))
    seconds = estimate(StyleParams(), device).seconds_a_step
    detail = (
        f"{device.kind}, {usable / 2**30:.1f} GiB for pictures: up to {whole} px whole, "
        f"{largest} px in tiles; {seconds:.2f} s a step at {StyleParams().size} px"
    )
    if largest >= settings.max_size:
        return Finding("capacity", "ok", detail)
    remedy = f"Set NST_MAX_SIZE to {largest}, or jobs that are larger wait for another worker."
    return Finding("capacity", "warning", detail, remedy)


def _describe_device(settings: Settings) -> Device:
    """Ask a process of its own: this one has no torch, and is to stay quick."""
    file = Path(settings.weights).expanduser()
    weights = str(file) if file.is_file() else "random"  # as quick; what is missing is said below
    command = [
        *(sys.executable, "-m", "nst_core.devices"),
        *(weights, str(settings.data_dir / "weights"), settings.device),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired as error:
        raise NstError("a trial step took over two minutes", hint="Is the machine busy?") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise NstError(
            f"a trial step failed: {last[0]}", hint="`nst stylize` tells the whole story."
        )
    found = json.loads(done.stdout)
    return Device(**{**found, "speed": Speed(**found["speed"])})


def _weights(settings: Settings) -> Finding:
    choice = settings.weights
    if choice in ("auto", "imagenet"):
        folder = settings.data_dir / "weights"
        if any(folder.glob("vgg19-*.pth")):
            return Finding("weights", "ok", f"{choice}: downloaded in {folder}")
        fallback = "random weights are used without" if choice == "auto" else "jobs fail without"
        return Finding(
            "weights",
            "warning",
            f"{choice}: the ImageNet weights are not in {folder}; {fallback}",
            "Run `nst weights fetch`, or set NST_WEIGHTS to a file.",
        )
    if choice == "random":
        detail = "random: colours and grain of the style, not its brush"
        return Finding("weights", "ok", detail)
    if not Path(choice).expanduser().is_file():
        remedy = "Set NST_WEIGHTS to auto, imagenet, random or a file that is there."
        return Finding("weights", "error", f"there is no file {choice}", remedy)
    return Finding("weights", "ok", choice)


LOOKS = (_python, _data_dir, _database, _broker, _storage, _engine, _capacity, _weights)
