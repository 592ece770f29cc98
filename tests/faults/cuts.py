"""Connections that are cut between the commit and the answer."""

from .outcome import Outcome
from .proxy import Proxy
from .rig import Rig


def answers(rig: Rig, *, times: int) -> Outcome:
    """Cut the sender's connection when its delivery is through: it sends again what may be stored already."""
    web = rig.web().start()
    with (
        Proxy(web.ready().port, cuts=0.5, seed=rig.random.getrandbits(32)) as proxy,
        rig.sending(urls=[proxy.url], pause=0) as sender,
    ):
        while proxy.cut < times:
            sender.more(1)
    rig.settle()
    verdict = rig.verdict()
    copies = sum(row["status"] == 200 and row["told"]["status"] == "duplicate" for row in rig.sent())
    note = f"{copies} deliveries were told that they are copies"
    return Outcome(
        fault="connection cut before the answer", engine=rig.engine, times=proxy.cut, verdict=verdict, note=note
    )
