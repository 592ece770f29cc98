"""`python -m receiver` is the `receiver` command."""

import sys
from pathlib import Path

# Python looks into the folder it was started in first. A package there that is called `handlers`, as many have,
# must not hide the one that comes along.
if sys.path and sys.path[0] == str(Path.cwd()):
    sys.path.append(sys.path.pop(0))

if sys.argv[1:3] == ["worker", "--supervised"]:
    from .supervised import main
else:
    from .cli import main

main()
