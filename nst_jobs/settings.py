"""`Settings`: what an operator can set, each as `NST_…` in the environment.

Read once at a process's edge and passed down; nothing else reads the environment.
"""

from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from nst_core.params import MAX_SIZE
from nst_jobs.errors import InvalidSettings


def read_settings() -> "Settings":
    """Return the settings that the environment gives.

    Raises:
        InvalidSettings: a variable has a value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        found = [f"NST_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()]
        raise InvalidSettings(
            "; ".join(found), hint="Correct these environment variables, or unset them."
        ) from error


def default_data_dir() -> Path:
    """Return the folder for everything that the embedded server keeps."""
    return Path.home() / ".local" / "share" / "nst-server"


class Settings(BaseSettings):
    """The settings of every process."""

    model_config = SettingsConfigDict(env_prefix="NST_", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of the embedded database, files, broker data and cached weights.",
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL, `postgresql+psycopg://…`. Default: SQLite in the data dir."
    )
    broker_url: str = Field(
        "",
        description="Redis or Valkey, `redis://…`. Default: `nst serve` starts a Valkey of its "
        "own; `nst api` and `nst worker` use `redis://localhost:6379/0`.",
    )
    storage_url: str = Field(
        "", description="Folder of pictures and checkpoints, `file:///…`. Default: in the data dir."
    )
    weights: str = Field(
        "auto", description="`auto`, `imagenet`, `random`, or the path of a weights file."
    )
    device: str = Field(
        "auto", description="`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:0`, …"
    )
    memory_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Part of the device's memory that this worker may use, where several share "
        "it. Larger pictures are computed in tiles.",
    )
    require_keys: bool = Field(
        False,
        description="Whether clients must show an API key (`nst keys create`). Without, the server "
        "listens on loopback addresses only.",
    )
    max_queued: int = Field(1000, ge=1, description="Most jobs that one owner may have queued.")
    max_size: int = Field(
        2048, ge=64, le=MAX_SIZE, description="Largest `size` that a job may ask for, in pixels."
    )
    max_upload_mb: int = Field(20, ge=1, description="Largest picture file, in MiB.")
    max_megapixels: int = Field(50, ge=1, description="Largest picture, in millions of pixels.")
    retention_hours: float = Field(
        168,
        gt=0,
        le=876_000,
        allow_inf_nan=False,
        description="How long an ended job and its pictures are kept.",
    )
    lease_seconds: float = Field(
        30,
        ge=5,
        le=3600,
        allow_inf_nan=False,
        description="How long a silent worker keeps its job before another may take it.",
    )
    log_format: str = Field(
        "text", pattern="^(text|json)$", description="`text` for people, `json` for machines."
    )

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("is not of the form sqlite:///… or postgresql://…")
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("is not of the form redis://…, rediss://… or redis+socket://…")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def as_environment(self) -> dict[str, str]:
        """Return the environment from which another process reads the same settings."""
        values = self.model_dump(mode="json")
        return {f"NST_{name.upper()}": str(value) for name, value in values.items()}

    @property
    def database(self) -> str:
        """Return the database's URL, the default filled in."""
        if not self.database_url:
            path = str(self.data_dir / "nst.db")
            return URL.create("sqlite", database=path).render_as_string()
        # psycopg 3 is the driver that is installed; the bare scheme would ask for psycopg2.
        return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def broker(self) -> str:
        """Return the broker's URL, the default filled in."""
        return self.broker_url or "redis://localhost:6379/0"

    @property
    def storage(self) -> str:
        """Return the file store's URL, the default filled in."""
        return self.storage_url or (self.data_dir / "files").as_uri()

    @property
    def max_upload_bytes(self) -> int:
        """Return the limit of one picture file in bytes."""
        return self.max_upload_mb * 2**20
