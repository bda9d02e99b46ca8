"""What the tests of registries and tables share."""

from __future__ import annotations

from meshtracker.swarm.access import Access
from meshtracker.swarm.merging import Merging
from meshtracker.swarm.registry import Registry
from meshtracker.swarm.streams import Streams
from meshtracker.wire.vector import MAX_STREAMS, StreamId

OWN_STREAM = StreamId("self", 77)
PLENTY = 10**6
TTL_SECONDS = 4500


def registry_of(
    own: StreamId = OWN_STREAM,
    *,
    max_peers: int = PLENTY,
    max_peers_per_swarm: int = PLENTY,
    max_peers_per_node: int = PLENTY,
    max_streams: int = MAX_STREAMS,
) -> Registry:
    """An empty registry."""
    return Registry(
        streams=Streams(own, max_streams=max_streams),
        max_peers=max_peers,
        max_peers_per_swarm=max_peers_per_swarm,
        max_peers_per_node=max_peers_per_node,
    )


def index_of(registry: Registry, stream: StreamId) -> int:
    """The index of a stream for which there is room."""
    index = registry.streams.index(stream)
    assert index is not None
    return index


def merging_of(registry: Registry, *, access: Access | None = None, forwards: bool = False) -> Merging:
    """What the tables of a registry share; a node that tracks everything, if nothing else is said."""
    return Merging(registry, access=access or Access(), forwards=forwards, peer_ttl_seconds=TTL_SECONDS)


def check_counts(registry: Registry) -> None:
    """What is counted is what there is."""
    peers = tombstones = completions = 0
    rows = dict.fromkeys(range(len(registry.streams.streams)), 0)
    for swarm in registry.swarms.values():
        for pack in swarm.packs():
            peers += pack.live
            tombstones += len(pack) - pack.live
            for row, _ in pack.entries():
                rows[row.origin] += 1
        assert swarm.completed != {}
        for _, _, index in (swarm.completed or {}).values():
            rows[index] += 1
            completions += 1
        assert swarm.counts()[2] == sum(total for total, _, _ in (swarm.completed or {}).values())
        assert len(swarm) or swarm.completed
    assert (registry.peers, registry.tombstones, registry.completions) == (peers, tombstones, completions)
    assert registry.rows == peers + tombstones + completions
    for index, stream in enumerate(registry.streams.streams):
        if stream is None:
            assert not rows[index]
        else:
            assert registry.streams.rows(stream) == rows[index]
