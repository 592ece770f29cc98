"""Bad deliveries that look for new ways through our code: atheris keeps what reached a line that nothing did before.

In a process of its own, `python -m tests.faults.guided TIMES SEED`: it ends with what it found, and never returns.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

from .history import Verdict
from .outcome import Outcome

#: Longest input, bytes: a source, its headers and a body.
LONGEST = 4096

#: Seconds in which a million inputs must be through.
PATIENCE = 3600.0

#: What the search begins with, after headers as VideoGen sends them.
SAMPLES = Path(__file__).parents[1] / "samples"

#: An input is a byte that picks the source, its headers' values with a NUL between, this, and the body.
_END = b"\0\0"
_HEAD = b"\x0emsg_1\0v1,AAAA\0001793232000" + _END

FAULT, ENGINE = "requests guided by coverage", "-"


def deliveries(folder: Path, *, seed: int, times: int) -> Outcome:
    """Let each source judge and read what is made up, in a process of its own."""
    if importlib.util.find_spec("atheris") is None:
        return Outcome(fault=FAULT, engine=ENGINE, times=0, note="atheris is not installed here")
    begun = folder / "begun"
    begun.mkdir(parents=True)
    for sample in sorted(SAMPLES.rglob("*.json")):
        begun.joinpath(f"{sample.parent.name}-{sample.name}").write_bytes(_HEAD + sample.read_bytes())
    command = [sys.executable, "-m", __spec__.name, str(times), str(seed), str(begun)]
    with (folder / "guided.log").open("wb") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, timeout=PATIENCE, check=False, cwd=SAMPLES.parents[1])
    told = (folder / "guided.log").read_text(errors="replace").splitlines()
    reached = next((line for line in reversed(told) if " cov: " in line), "")
    violations = tuple(told[-40:]) if ended.returncode else ()
    verdict = Verdict(acked=0, refused=0, stored=0, lost=0, doubled=0, taken_over=0, violations=violations)
    note = " ".join(reached.partition(" cov: ")[2].split()[:1])
    return Outcome(fault=FAULT, engine=ENGINE, times=times, verdict=verdict, note=f"{note} places in the code reached")


def _fuzz(times: int, seed: int, begun: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["receiver"], enable_loader_override=False):
        from receiver.errors import BadSignature, Unreadable
        from receiver.registry import find_sources, webhook_sources

        sources = list(webhook_sources(find_sources({})).values())

    def deliver(data: bytes) -> None:
        head, _, body = data[1:].partition(_END)
        source, values = sources[data[0] % len(sources) if data else 0], head.split(b"\0")
        headers = list(zip(sorted(source.scheme.names), [*values, b"", b"", b""], strict=False))
        try:
            source.verify(headers, body, keys=(b"k" * 32,), now=1_793_232_000.0)
        except BadSignature:
            pass
        else:
            raise AssertionError(f"{source.name} took what nobody signed")
        try:
            reading = source.read(body)
        except Unreadable:
            return
        if not reading.type or reading != source.read(body):
            raise AssertionError(f"{source.name} reads the same body in two ways")

    options = [f"-runs={times}", f"-seed={seed % 2**32 or 1}", f"-max_len={LONGEST}"]
    atheris.Setup([sys.argv[0], *options, begun], deliver)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
