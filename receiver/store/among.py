"""`column IN (…)`, as each engine takes it best."""

from collections.abc import Collection

from sqlalchemy import ARRAY, ColumnElement, Connection, Text, any_, bindparam


def among(connection: Connection, column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return whether the column is one of these texts.

    PostgreSQL is given them as one array, so that a statement is the same text for any number of them, parsed and
    planned once. SQLite has no arrays: a table made of JSON costs it more than a text that is made anew.
    """
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(bindparam(None, list(values), type_=ARRAY(Text())))
