"""What listings look like to people."""

import pytest

from receiver.cli import output

ROW = {"id": "evt_" + "0" * 32, "received_at": 0.0, "type": "tool_execution.succeeded", "job_id": "vg_" + "1" * 30}
HOSTILE = {"id": "evt_1", "received_at": 0.0, "type": "[red]a\nb\x1b[31m", "job_id": None}


@pytest.fixture
def shown(monkeypatch, capsys):
    def show(width, *rows):
        monkeypatch.setattr(output.console, "_width", width)
        output.show(rows, ("id", "received_at", "type", "job_id"), as_json=False, empty="None.")
        return capsys.readouterr().out.splitlines()

    return show


def test_where_a_table_fits_it_is_one(shown):
    head, line = shown(120, ROW)
    assert head.split() == ["id", "received", "type", "job", "id"]
    assert line.split() == [ROW["id"], "1970-01-01", "00:00:00", ROW["type"], ROW["job_id"]]


def test_where_a_table_is_too_wide_each_row_is_told_by_itself_and_no_word_is_cut(shown):
    assert shown(80, ROW, HOSTILE) == [
        ROW["id"],
        "  received 1970-01-01 00:00:00  type tool_execution.succeeded",
        f"  job id {ROW['job_id']}",
        "evt_1",
        "  received 1970-01-01 00:00:00  type [red]a b\N{REPLACEMENT CHARACTER}[31m",
    ]
    assert shown(20, ROW)[-1] == f"  job id {ROW['job_id']}"


def test_a_pipe_is_told_whole_lines(shown):
    assert len(shown(output.WIDEST, ROW | {"type": "x" * 1000})) == 2


def test_what_holds_is_told_and_what_does_not_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(output.console, "_width", 20)
    for row in ({"id": "run_1", "paused": True}, {"id": "run_2", "paused": False}):
        output.show([row], ("id", "paused"), as_json=False, empty="None.")
    assert capsys.readouterr().out.split() == ["id", "paused", "run_1", "yes", "id", "paused", "run_2"]
