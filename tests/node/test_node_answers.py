"""What an answer holds: which peers, how many, of which family; and scrapes."""

from __future__ import annotations

import pytest

from meshtracker.model import SCRAPE_UNKNOWN, ScrapeAnswer
from meshtracker.node.policy import TrackerPolicy
from tests.mouth_to_mouth import LOCALHOST, LOCALHOST6, announce, node
from tests.node.support import ANNOUNCED, peers


def test_a_client_gets_the_others() -> None:
    tracker = node("n")
    for client in range(5):
        answer = announce(tracker, client, left=client % 2)
        assert peers(answer) == {1000 + other for other in range(client) if client % 2 or other % 2}
    assert (answer.complete, answer.incomplete) == (3, 2)


def test_a_client_without_a_port_gets_peers_and_is_not_handed_out() -> None:
    tracker = node("n")
    announce(tracker, 1)
    assert peers(announce(tracker, 2, port=0)) == {1001}
    assert peers(announce(tracker, 3)) == {1001}
    announce(tracker, 4, torrent=9, port=0)
    assert len(tracker.registry.swarms) == 1


@pytest.mark.parametrize(
    ("numwant", "given"), [(-1, 10), (-5, 10), (0, 0), (1, 1), (10, 10), (15, 15), (20, 20), (21, 20), (10**9, 20)]
)
def test_numwant(numwant: int, given: int) -> None:
    tracker = node("n", tracker=TrackerPolicy(numwant_default=10, numwant_max=20))
    for client in range(100, 140):
        announce(tracker, client)
    answer = announce(tracker, 1, numwant=numwant, with_peer_ids=True)
    assert len(answer.peers) == 6 * given
    assert len(answer.peer_ids) == given


def test_families() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 2, address=LOCALHOST6)
    answer = announce(tracker, 3)
    assert (len(answer.peers), len(answer.peers6)) == (6, 0)
    answer = announce(tracker, 4, address=LOCALHOST6)
    assert (len(answer.peers), len(answer.peers6)) == (0, 18)
    answer = announce(tracker, 5, both_families=True, with_peer_ids=True)
    assert (len(answer.peers), len(answer.peers6)) == (12, 36)
    assert set(answer.peer_ids) == {b"-MT0001-%012d" % client for client in (1, 3)}
    assert set(answer.peer_ids6) == {b"-MT0001-%012d" % client for client in (2, 4)}


def test_a_client_in_both_families_never_gets_itself() -> None:
    tracker = node("n")
    announce(tracker, 1)
    announce(tracker, 1, address=LOCALHOST6)
    for address in (LOCALHOST, LOCALHOST6):
        answer = announce(tracker, 1, address=address, both_families=True)
        assert (answer.peers, answer.peers6) == (b"", b"")


def test_peer_ids_are_in_the_order_of_the_peers() -> None:
    tracker = node("n")
    for client in range(100):
        announce(tracker, client, left=client % 3)
    answer = announce(tracker, 500, numwant=30, with_peer_ids=True)
    ports = [int.from_bytes(answer.peers[at + 4 : at + 6], "big") for at in range(0, len(answer.peers), 6)]
    assert [b"-MT0001-%012d" % (port - 1000) for port in ports] == list(answer.peer_ids)


def test_intervals_are_spread() -> None:
    policy = TrackerPolicy(announce_interval_seconds=1000, min_interval_seconds=300, announce_jitter_seconds=3)
    tracker = node("n", tracker=policy)
    answers = [announce(tracker, client) for client in range(200)]
    assert {answer.interval_seconds for answer in answers} == {1000, 1001, 1002, 1003}
    assert {answer.min_interval_seconds for answer in answers} == {300}


def test_scrape_answers_in_the_order_asked() -> None:
    tracker = node("n")
    announce(tracker, 1, left=0)
    other, unknown = (1).to_bytes(20, "big"), (2).to_bytes(20, "big")
    announce(tracker, 1, torrent=1)
    seeded, leeched = ScrapeAnswer(1, 0, 0, 0), ScrapeAnswer(0, 1, 0, 1)
    assert tracker.scrape([other, unknown, ANNOUNCED, other]) == [leeched, SCRAPE_UNKNOWN, seeded, leeched]
    assert dict(tracker.scrape_all()) == {ANNOUNCED: seeded, other: leeched}


def test_scraping_all_while_swarms_go() -> None:
    tracker = node("n")
    for torrent in range(5):
        announce(tracker, 1, torrent=torrent)
    walk = tracker.scrape_all()
    next(walk)
    tracker.registry.swarms.clear()
    assert list(walk) == []
