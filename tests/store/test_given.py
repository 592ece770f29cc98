"""Statements over many rows at once."""

from sqlalchemy import create_engine

from receiver.store.given import Statement, padded
from receiver.store.tables import runs

ECHO = Statement("SELECT id, token FROM given", [runs.c.id, runs.c.token])


def test_any_number_of_rows_is_taken_as_it_is_though_few_texts_do_for_all():
    with create_engine("sqlite://").connect() as connection:
        for number in (1, 2, 3, 5, 17, 500, 1024, 1025):
            rows = [(str(each), each if each % 2 else None) for each in range(number)]
            assert [tuple(row) for row in ECHO(connection, rows)] == rows
    assert len({padded(rows) for rows in range(1, 1025)}) == 16
