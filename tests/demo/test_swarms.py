from __future__ import annotations

from contextlib import closing

import trio

from meshtracker.demo.mesh import PROTOCOLS, DemoMesh
from meshtracker.demo.swarms import TORRENTS, compact_peers, new_peer_id, question
from meshtracker.model import AnnounceRequest


def test_compact_peers_are_cut_by_six() -> None:
    assert compact_peers(b"") == set()
    assert compact_peers(b"aaaaaabbbbbb") == {b"aaaaaa", b"bbbbbb"}


def test_peer_ids_differ() -> None:
    assert len({new_peer_id() for _ in range(100)}) == 100
    assert {len(new_peer_id())} == {20}


async def test_who_asks_is_told_of_everybody_and_is_not_told_of(mesh: DemoMesh) -> None:
    [info_hash, *_] = TORRENTS
    for number in range(300):
        request = AnnounceRequest(
            info_hash=info_hash, peer_id=new_peer_id(), key=1, address=b"\x7f\0\0\1", port=1 + number, left=number % 2
        )
        mesh.hub.node.announce(request, trio.current_time())
    for protocol in PROTOCOLS:
        with closing(mesh.hub.tracker(protocol, local_address="127.4.5.6")) as tracker:
            for _ in range(2):
                answer = await tracker.announce(question(info_hash))
                assert len(compact_peers(answer.peers)) == 300
                assert answer.complete + answer.incomplete == 300
