"""`receiver erase`, as a person does it."""

from .test_events import filled  # noqa: F401 - a fixture


def test_a_job_is_counted_and_then_erased(run, filled):  # noqa: F811
    dry = run("erase", "--job", "vg_tool_1", "--dry-run")
    assert (dry.code, dry.out) == (0, "1 jobs would be erased: 1 events, 1 runs, 0 other deliveries, 0 files.\n")
    assert (
        run("erase", "--job", "vg_tool_1").out == "1 jobs are erased: 1 events, 1 runs, 0 other deliveries, 0 files.\n"
    )
    shown = run("events", "show", filled[0])
    assert shown.code == 0
    assert "erased" in shown.out
    assert "hunter2" not in shown.out
    assert run("erase", "--job", "vg_tool_1").code == 1


def test_a_file_that_is_not_here_is_named(run, filled, tmp_path):  # noqa: F811
    import asyncio

    from receiver.store import Store

    async def captured():
        store = Store(f"sqlite:///{tmp_path / 'receiver.db'}")
        values = {"source": "videogen", "job_id": "vg_tool_1", "type": None, "expires_at": None, "state": "captured"}
        key = {"event_id": filled[0], "handler": "download", "output_id": "f"}
        await store.outputs.record(**key, **values, place="s3://bucket/f.mp4")
        await store.close()

    asyncio.run(captured())
    erased = run("erase", "--job", "vg_tool_1")
    assert erased.code == 1
    assert "not here, delete it yourself: s3://bucket/f.mp4" in erased.out


def test_one_must_say_which(run, filled):  # noqa: F811
    for wrong in ([], ["--job", "a", "--metadata", "b=c"], ["--metadata", "b"], ["--metadata", "=c"]):
        assert run("erase", *wrong).code == 2
    unknown = run("erase", "--metadata", "customer=42")
    assert unknown.code == 1
    assert "no job carries that" in unknown.err
