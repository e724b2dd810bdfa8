"""Which job a retry repeats.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("job", sa.Column("retried_from", sa.Uuid(as_uuid=False), nullable=True))


def downgrade():
    with op.batch_alter_table("job") as job:
        job.drop_column("retried_from")
