"""Jobs, attempts, artifacts, events.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JOB_ID = sa.Uuid(as_uuid=False)


def _job_id(**options):
    return sa.Column(
        "job_id", JOB_ID, sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False, **options
    )


def upgrade():
    op.create_table(
        "job",
        sa.Column("id", JOB_ID, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("estimated_bytes", sa.BigInteger, nullable=False),
        sa.Column("weights", sa.String(255)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(255)),
        sa.Column("progress", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("cancel_requested_at", MOMENT),
        sa.Column("lease_expires_at", MOMENT),
    )
    op.create_index("job_claim", "job", ["status", "priority", "created_at"])
    op.create_index("job_list", "job", ["owner", "id"])
    op.create_index("job_lease", "job", ["status", "lease_expires_at"])
    op.create_index("job_finished", "job", ["finished_at"])

    op.create_table(
        "attempt",
        _job_id(primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("worker", sa.String(255), nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("outcome", sa.String(32)),
        sa.Column("error", sa.JSON),
    )

    op.create_table(
        "artifact",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        _job_id(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("key", sa.String(255), nullable=False, unique=True),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index("artifact_job", "artifact", ["job_id", "kind", "step"])

    op.create_table(
        "event",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        _job_id(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_index("event_job", "event", ["job_id", "id"])


def downgrade():
    for table in ("event", "artifact", "attempt", "job"):
        op.drop_table(table)
