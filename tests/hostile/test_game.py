"""Games with liars end well; and were a node less careful, they would not."""

from __future__ import annotations

import multiprocessing

import pytest

from meshtracker.link.receiver import Receiver
from meshtracker.node.mesh import Mesh
from meshtracker.wire import peer_record
from tests.hostile.game import ROLES, Game, play
from tests.hostile.runner import cut_down, play_many, try_game

QUICK_GAMES = 60
LONG_GAMES = 1500


def complain(start: int, games: int, *, jobs: int) -> str:
    return "\n\n".join(map(cut_down, play_many(range(start, start + games), jobs=jobs)))


@pytest.mark.timeout(300)
def test_honest_nodes_come_through_any_game() -> None:
    assert complain(0, QUICK_GAMES, jobs=1) == ""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_honest_nodes_come_through_any_game_long() -> None:
    assert complain(100_000, LONG_GAMES, jobs=multiprocessing.cpu_count()) == ""


def test_the_games_are_about_something() -> None:
    """Liars of all kinds get in, are taken at their word, and are refused."""
    games = [play(seed) for seed in range(12)]
    assert {liar.split("-")[1] for game in games for liar in game.liars} == set(ROLES)
    statistics = [game.nodes["hub-0"].statistics(game.now) for game in games]
    assert sum(one.mesh.applied_records for one in statistics) > 100
    refused = [code for one in statistics for code in one.refused_links]
    assert {"protocol", "forged", "penalty"} <= set(refused)
    assert any(one.breaches for node in statistics for one in node.neighbours)
    assert any(one.mesh.began_anew for game in games for one in (game.nodes["hub-1"].statistics(game.now),)) or any(
        game.nodes[name].mesh.statistics().began_anew for game in games for name in ("leaf-a", "leaf-b", "hub-0")
    )


def test_a_game_is_the_same_each_time() -> None:
    one, other = play(7), play(7)
    assert [one.nodes[name].mesh.vector() for name in one.nodes] == [
        other.nodes[name].mesh.vector() for name in other.nodes
    ]


def test_a_part_of_a_game_can_be_played() -> None:
    game = Game(3)
    game.play([])
    assert try_game(3, [5, 9]) is None


# ---------------------------------------------------------------- a careless node is caught


def _believe(receiver: Receiver, stream: object) -> None:
    """Everybody may speak of everything."""


def _never(*_: object) -> bool:
    return False


def _count_before(mesh: Mesh, batch: object, now: float, *, is_direct: bool) -> list[object]:
    """Nothing of a batch is looked at beforehand: all of it is taken for read."""
    return []


@pytest.mark.parametrize(
    ("where", "what", "fault"),
    [
        (Receiver, "_check_speaker", _believe),
        (Receiver, "_brought_rows_beside", _never),
        pytest.param(Mesh, "_read", _count_before, marks=pytest.mark.interpreted),
    ],
    ids=["believes everybody", "forgets what came beside", "reads nothing"],
)
def test_a_careless_node_is_caught(monkeypatch: pytest.MonkeyPatch, where: type, what: str, fault: object) -> None:
    monkeypatch.setattr(where, what, fault)
    assert any(try_game(seed) is not None for seed in range(200))


def test_addresses_that_no_peer_can_have_are_not_taken() -> None:
    game = play(11)
    for owner in game.nodes.values():
        for swarm in owner.registry.swarms.values():
            for pack in swarm.packs():
                for row, address in pack.entries():
                    if row.state != 3:
                        body = peer_record.encode_record(
                            peer_record.PeerRecord(row.identity, row.stamp, row.state, len(address), address), row.stamp
                        )
                        assert None not in peer_record.records(body, row.stamp, strict=False)
