"""What tables share: which swarms are kept, and figures that begin at nothing."""

from __future__ import annotations

import pytest

from meshtracker.swarm.access import Access
from tests.swarm.support import TTL_SECONDS, merging_of, registry_of

LISTED, OTHER = b"l" * 20, b"o" * 20


@pytest.mark.parametrize(
    ("access", "forwards", "tracked"),
    [
        (Access(), False, {LISTED, OTHER}),
        (Access("allow", frozenset({LISTED})), False, {LISTED}),
        (Access("deny", frozenset({LISTED})), False, {OTHER}),
        # A hub keeps for its leaves what it would not serve itself.
        (Access("allow", frozenset({LISTED})), True, {LISTED, OTHER}),
        (Access("deny", frozenset({LISTED})), True, {LISTED, OTHER}),
    ],
)
def test_a_leaf_keeps_what_it_serves_and_a_hub_keeps_all(access: Access, forwards: bool, tracked: set[bytes]) -> None:
    merging = merging_of(registry_of(), access=access, forwards=forwards)
    assert {info_hash for info_hash in (LISTED, OTHER) if merging.tracks(info_hash)} == tracked


def test_another_access_list_counts_at_once() -> None:
    merging = merging_of(registry_of())
    merging.access = Access("deny", frozenset({LISTED}))
    assert not merging.tracks(LISTED)


def test_nothing_is_counted_and_nobody_is_told_before_the_first_record() -> None:
    merging = merging_of(registry_of())
    assert (merging.applied, merging.stale, merging.dropped) == (0, 0, 0)
    assert merging.peer_ttl_ms == TTL_SECONDS * 1000
    merging.note(1, LISTED)  # there is no stream to write to yet
