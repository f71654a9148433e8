"""The two tables of the ratings store, studies and events, and what keeps their rows as they are.

Here they stand as queries see them; migrations/versions makes them, with their keys, version by version.
"""

from sqlalchemy import BigInteger, Boolean, Double, Text, column, table

VERSION_TABLE = "studykit_version"
VERSIONS = ("1",)  # of the tables, oldest first

STUDIES = table(
    "studies",
    *(column(name, Text) for name in ("name", "hash", "protocol")),
    column("simulated", Boolean),
    *(column(name, Text) for name in ("when", "link")),
)
_KINDS = dict.fromkeys(("number", "repeat", "order"), BigInteger) | {"elapsed": Double}
COLUMNS = (
    "number", "reader", "case", "condition", "item", "step", "repeat", "rating", "order", "session",
    "elapsed", "time", "stored", "model", "map", "client", "corrects", "reason", "hash",
)  # fmt: skip
EVENTS = table("events", column("study", Text), *(column(name, _KINDS.get(name, Text)) for name in COLUMNS))


def append_only(engine: str, name: str, taken: dict[str, str]) -> list[str]:
    """SQL after which rows of table `name` can be added, but neither changed nor removed.

    engine: "sqlite" or "postgresql". taken: {a unique key's columns: SQL of the rows it is for}; SQLite's
    INSERT OR REPLACE would remove a row that has the same key without asking the triggers.
    """
    said = f"the {name} of a ratings store are append-only"
    if engine == "postgresql":
        return [
            f"""CREATE FUNCTION {name}_append_only() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION '{said}'; END $$""",
            f"""CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}
            FOR EACH STATEMENT EXECUTE FUNCTION {name}_append_only()""",
        ]
    refused = f"BEGIN SELECT RAISE(ABORT, '{said}'); END"
    there = " OR ".join(
        f"EXISTS (SELECT 1 FROM {name} WHERE ({key}) = ({_new(key)}) AND {only})"
        for key, only in taken.items()
    )
    return [
        f"CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name} {refused}",
        f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} {refused}",
        f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} WHEN {there} {refused}",
    ]


def _new(key: str) -> str:
    return ", ".join(f"NEW.{part.strip()}" for part in key.split(","))
