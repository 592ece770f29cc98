"""PostgreSQL that goes away and comes back."""

import tempfile
from pathlib import Path

from .databases import postgres
from .outages import crashes
from .rig import Rig


def test_postgresql_that_stops_at_once_is_waited_for(tmp_path):
    # A server of its own, as the others go on with theirs; in a folder with a name short enough for a socket.
    with (
        tempfile.TemporaryDirectory(prefix="pg") as folder,
        postgres(Path(folder)) as server,
        Rig(tmp_path, server.database()) as rig,
    ):
        outcome = crashes(rig, server, times=1, pairs=1)
    assert outcome.verdict.violations == ()
    assert outcome.verdict.refused > 0
