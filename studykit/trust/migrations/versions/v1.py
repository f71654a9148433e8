"""Version 1: studies, each with its frozen protocol, and the events of their readings."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, PrimaryKeyConstraint, Text, text

from studykit.trust.tables import append_only

revision = "1"
down_revision = None

QUESTION = ("study", "reader", "case", "condition", "repeat", "item", "step")


def upgrade():
    """Make the tables, their keys, and the triggers that refuse any change."""
    op.create_table(
        "studies",
        Column("name", Text, primary_key=True),
        *(Column(name, Text, nullable=False) for name in ("hash", "protocol", "when", "link")),
        Column("simulated", Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    texts = "reader case condition item step rating session time stored model map client corrects reason hash"
    op.create_table(
        "events",
        Column("study", Text, ForeignKey("studies.name"), nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in ("number", "repeat", "order")),
        *(Column(name, Text, nullable=False) for name in texts.split()),
        Column("elapsed", Double),
        PrimaryKeyConstraint("study", "number"),
        sqlite_with_rowid=False,
    )
    first, later = text("corrects = ''"), text("corrects <> ''")
    unique("events_client", ["study", "client"])
    unique("events_answered_once", QUESTION, first)
    unique("events_corrected_once", ["study", "corrects"], later)
    op.create_index("events_of_a_reading", "events", QUESTION[:5])
    engine = op.get_bind().dialect.name
    keys = {
        "study, number": "1",
        "study, client": "1",
        ", ".join(f'"{name}"' for name in QUESTION): "corrects = '' AND NEW.corrects = ''",
        "study, corrects": "corrects <> ''",
    }
    for statement in append_only(engine, "studies", {"name": "1"}) + append_only(engine, "events", keys):
        op.execute(text(statement.replace(":", r"\:")))


def unique(name, columns, where=None):
    """A unique index of the events, of those only that `where` names."""
    op.create_index(name, "events", columns, unique=True, sqlite_where=where, postgresql_where=where)


def downgrade():
    """Never: ratings are not thrown away."""
    raise NotImplementedError("a ratings store is not taken back to an earlier version")
