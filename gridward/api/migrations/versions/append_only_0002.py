"""The audit log only grows: the database itself refuses to change or delete a row."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQLITE = """
CREATE TRIGGER audit_entries_no_{word} BEFORE {word} ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
_POSTGRES_FUNCTION = """
CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
"""
_POSTGRES_ROWS = """
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION audit_entries_refuse()
"""
_POSTGRES_TABLE = """
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse()
"""


def upgrade() -> None:
    """Add the triggers."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in (_POSTGRES_FUNCTION, _POSTGRES_ROWS, _POSTGRES_TABLE):
            op.execute(statement)
    else:
        for word in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(word=word))


def downgrade() -> None:
    """Remove the triggers."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entries_refuse CASCADE")
    else:
        for word in ("UPDATE", "DELETE"):
            op.execute(f"DROP TRIGGER audit_entries_no_{word}")
