"""`receiver demo`, as a newcomer runs it."""

import os
import subprocess
import sys
import time


def test_the_demo_shows_four_jobs_with_their_files_within_20_seconds(tmp_path):
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "receiver", "demo"],
        cwd=tmp_path,
        env=os.environ | {"DATABASE_URL": "postgresql://not.used/", "VIDEOGEN_WEBHOOK_SECRET": "", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert time.monotonic() - began < 20
    for tool in ("text-to-speech", "generate-sound-effect", "generate-video-clip", "generate-avatar"):
        assert f"← job.succeeded for {tool}: download done" in ended.stdout
    files = list((tmp_path / "demo" / "files").glob("**/*"))
    assert sorted(path.suffix for path in files if path.suffix != ".json") == [".mp4", ".mp4", ".wav", ".wav"]
