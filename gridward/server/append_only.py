"""Triggers by which the database itself refuses to change or delete audit rows, for both services.

Part of migrations that have run: never change what these functions do, add others.
"""

from typing import Final

from alembic import op

_SQLITE: Final = """
CREATE TRIGGER audit_entries_no_{word} BEFORE {word} ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
_POSTGRES_FUNCTION: Final = """
CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
"""
_POSTGRES_ROWS: Final = """
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION audit_entries_refuse()
"""
_POSTGRES_TABLE: Final = """
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse()
"""
_WORDS: Final = ("UPDATE", "DELETE")


def protect() -> None:
    """Add the triggers to the migrated database."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in (_POSTGRES_FUNCTION, _POSTGRES_ROWS, _POSTGRES_TABLE):
            op.execute(statement)
    else:
        for word in _WORDS:
            op.execute(_SQLITE.format(word=word))


def release() -> None:
    """Remove the triggers from the migrated database."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entries_refuse CASCADE")
    else:
        for word in _WORDS:
            op.execute(f"DROP TRIGGER audit_entries_no_{word}")
