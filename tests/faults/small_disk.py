"""`unshare -rm python -m tests.faults.small_disk FOLDER SEED TIMES`: a disk of a few megabytes, for us alone.

The mount is seen by this process and those it starts, and is gone with them. Prints the outcome as JSON.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from .disks import fills_up
from .history import Verdict
from .outcome import Outcome
from .rig import Rig

#: Room for the database and 32 MB that SQLite writes ahead of it: else the disk would stay full.
SIZE = "64m"


def outcome(folder: Path, *, seed: int, times: int) -> Outcome:
    """Return what becomes of a receiver whose disk fills up so often."""
    module = [sys.executable, "-m", "tests.faults.small_disk", str(folder), str(seed), str(times)]
    done = subprocess.run(["unshare", "-rm", *module], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    verdict = found.pop("verdict")
    return Outcome(**found, verdict=Verdict(**verdict | {"violations": tuple(verdict["violations"])}))


def main(folder: str, seed: str, times: str) -> None:
    """Do it in here."""
    disk = Path(folder) / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], check=True)
    with Rig(Path(folder) / "rig", f"sqlite:///{disk / 'receiver.db'}", seed=int(seed)) as rig:
        found = fills_up(rig, disk, times=int(times))
    sys.stdout.write(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
