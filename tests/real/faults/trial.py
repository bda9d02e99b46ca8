"""One fault from its beginning to the end of its effects: found in time, healed by itself, clients served meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager

import trio

from tests.real.faults.crowd import Crowd, crowd_at
from tests.real.faults.figures import TIMES, Figures, record
from tests.real.faults.verdicts import Verdict, Watch
from tests.real.mesh import Node
from tests.real.plan import agree
from tests.real.processes import wait_until

LATE_SECONDS = 1.5
"""How late a busy machine may notice, beyond what the settings promise."""
HEAL_SECONDS = 15.0 + TIMES.reconnect_max_seconds
"""From the end of a fault until all nodes agree: a handshake that hangs must time out, and the back-off end."""
SLOWEST_SECONDS = 2.0
"""No client waits longer: a busy machine may make one ask again, which it does after a second."""

Finders = Mapping[tuple[str, str], Set[str]]
"""``(node, other end)`` of one link to the rules by which that node may find what is wrong with it."""


async def nothing() -> int:
    """No extra clients."""
    return 0


async def endure(
    name: str,
    fault: AbstractContextManager[object],
    *,
    nodes: Sequence[Node],
    serving: Sequence[Node],
    expected: Sequence[Finders],
    burst: Callable[[], Awaitable[int]] = nothing,
    persists: bool = False,
) -> None:
    """Let a synced mesh without clients suffer ``fault`` until it is found, and heal.

    ``nodes`` are all, of which those of ``serving`` have clients throughout. ``expected`` is for each link that suffers
    who may find it: one of them must (the first resets the link), and nobody else may find anything. ``burst`` lets
    clients come once the fault is there, and returns how many. A fault that ``persists`` lasts as long again once it
    was found; then neither end may call the link synced.
    """
    async with crowd_at(serving) as crowd:
        await trio.sleep(TIMES.heartbeat_seconds)
        watch = Watch(nodes)
        with fault:
            extra = await burst()
            for finders in expected:
                await _wait_found(watch, finders, nodes)
            if persists:
                await trio.sleep(TIMES.bound_seconds)
                await _assert_not_synced(nodes, expected)
        ended = trio.current_time()
    await agree(nodes, extra + crowd.answered, within_seconds=HEAL_SECONDS)
    healed_seconds = trio.current_time() - ended
    assert_served(crowd)
    verdicts = watch.verdicts()
    await _assert_counted(nodes, verdicts)
    assert {_end(verdict) for verdict in verdicts} <= {end for finders in expected for end in finders}, verdicts
    found = [_first(verdicts, finders) for finders in expected]
    record(
        Figures(
            fault=name,
            found={verdict.node: (verdict.rule, verdict.seconds) for verdict in found},
            healed_seconds=healed_seconds,
            announces=crowd.answered + extra,
            slowest_seconds=crowd.slowest_seconds,
        )
    )
    for verdict, finders in zip(found, expected, strict=True):
        assert verdict.rule in finders[_end(verdict)], verdict
        # The last byte may have come up to a heartbeat before the fault.
        assert verdict.seconds >= TIMES.soft_split_after_seconds - TIMES.heartbeat_seconds, verdict
        assert verdict.seconds <= TIMES.bound_seconds + LATE_SECONDS, verdict


def assert_served(crowd: Crowd, *, refused: int = 0) -> None:
    """Every client was answered, at most ``refused`` of them at the second attempt, and none waited long."""
    assert crowd.answered > 0
    assert crowd.unanswered == 0, crowd
    assert crowd.refused <= refused, crowd
    assert crowd.slowest_seconds < SLOWEST_SECONDS, crowd


async def _assert_counted(nodes: Sequence[Node], verdicts: Sequence[Verdict]) -> None:
    """``meshtracker link status --json`` has what the logs say, each soft-split followed by a reset."""
    for node in nodes:
        for name, neighbour in (await node.neighbours()).items():
            rules = [verdict.rule for verdict in verdicts if _end(verdict) == (node.name, name)]
            assert neighbour["soft_splits"] == neighbour["split_resets"] == len(rules), (node.name, neighbour, verdicts)
            assert neighbour["verdict_rule"] == (rules[-1] if rules else "")


def _end(verdict: Verdict) -> tuple[str, str]:
    return verdict.node, verdict.link


def _first(verdicts: Sequence[Verdict], finders: Finders) -> Verdict:
    return min((verdict for verdict in verdicts if _end(verdict) in finders), key=lambda verdict: verdict.seconds)


async def _assert_not_synced(nodes: Sequence[Node], expected: Sequence[Finders]) -> None:
    """Every other link is."""
    suffering = {end for finders in expected for end in finders}
    for node in nodes:
        for link in await node.links():
            if link["state"] != "closed":
                assert (link["state"] == "synced") is ((node.name, link["peer"]) not in suffering), (node.name, link)


async def _wait_found(watch: Watch, finders: Finders, nodes: Sequence[Node]) -> None:
    async def is_found() -> bool:
        return any(_end(verdict) in finders for verdict in watch.verdicts())

    def otherwise() -> str:
        names = {name for name, _ in finders}
        return "\n".join(f"{node.name} said:\n{node.program.tail()}" for node in nodes if node.name in names)

    await wait_until(is_found, within_seconds=TIMES.bound_seconds + LATE_SECONDS, otherwise=otherwise)
