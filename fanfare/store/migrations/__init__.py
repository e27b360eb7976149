"""The schema of the database, step by step, as SQL. Steps are only ever added."""

from pathlib import Path

from alembic import op

__all__ = ["run_sql"]


def run_sql(module_file: str) -> None:
    """Run the SQL that stands beside a step's module: statements, each ended by `;` at the end of a line."""
    sql = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    for statement in sql.split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)
