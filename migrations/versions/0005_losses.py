"""The losses of every step.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    op.create_table(
        "loss",
        sa.Column(
            "job_id",
            sa.Uuid(as_uuid=False),
            sa.ForeignKey("job.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("scale", sa.Integer, nullable=False),
        *(
            sa.Column(term, sa.Double, nullable=False)
            for term in ("total", "content", "style", "tv")
        ),
    )


def downgrade():
    op.drop_table("loss")
