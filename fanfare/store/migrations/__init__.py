"""The schema of the database, step by step, as SQL. Steps are only ever added."""

from pathlib import Path

from alembic import op

__all__ = ["run_sql", "statements"]


def run_sql(module_file: str) -> None:
    """Run the SQL that stands beside a step's module: statements, each ended by `;` at the end of a line.

    Between two `$$`, as in a function, a line may end in `;` too.
    """
    sql = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    for statement in statements(sql):
        op.get_bind().exec_driver_sql(statement)


def statements(sql: str) -> list[str]:
    """The statements of a file."""
    found, begun = [], ""
    for part in sql.split(";\n"):
        begun += part
        if begun.count("$$") % 2:
            begun += ";\n"
        else:
            found.append(begun)
            begun = ""
    return [each for each in [*found, begun] if each.strip()]
