"""Streams that come and go: when one without rows is forgotten, and which are kept."""

from __future__ import annotations

from meshtracker.node.mesh import QUIET_SECONDS
from meshtracker.wire.vector import StreamId
from tests.mouth_to_mouth import NOW, node, rows
from tests.node.support import WALL_MS, X, batch_of, listener_of, receive, record_of


def test_a_stream_without_rows_is_forgotten_once_it_is_quiet_and_its_index_is_used_again() -> None:
    owner = listener_of()
    receive(owner, batch_of(record_of(1), record_of(2)))
    gone = StreamId("gone", 7)
    receive(owner, batch_of(record_of(3), stream=gone))
    index = owner.registry.streams.find(gone)
    assert index is not None
    # All its clients are another node's now.
    receive(owner, batch_of(record_of(3, stamp_ms=WALL_MS + 1), sequence=2))
    assert owner.mesh.rows(gone) == 0
    owner.mesh.flush(NOW + QUIET_SECONDS)
    assert owner.mesh.position(gone) is not None
    owner.mesh.flush(NOW + QUIET_SECONDS + 1.1)
    assert owner.mesh.position(gone) is None
    assert owner.registry.streams.find(gone) is None
    # It has rows, and stays although it is quiet.
    assert owner.mesh.position(X) is not None
    later = StreamId("later", 8)
    receive(owner, batch_of(record_of(4), stream=later), NOW + QUIET_SECONDS + 2)
    assert owner.registry.streams.find(later) == index
    assert {row[3] for row in rows(owner).values()} == {"x", "later"}
    assert owner.mesh.statistics().streams == 3


def test_a_stream_without_rows_that_grows_is_kept() -> None:
    owner = listener_of()
    for step in range(30):
        now = NOW + 5.0 * (step + 1)
        receive(owner, batch_of(sequence=step + 1), now)
        owner.mesh.flush(now)
    assert owner.mesh.position(X) is not None


def test_no_stream_is_forgotten_while_a_snapshot_is_written_that_holds_its_number() -> None:
    owner = listener_of()
    owner.registry.streams.holds += 1
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS)
    assert owner.mesh.position(X) is not None
    owner.registry.streams.holds -= 1
    owner.mesh.flush(NOW + 2 * QUIET_SECONDS + 1.1)
    assert owner.mesh.position(X) is None


def test_its_own_stream_is_never_forgotten() -> None:
    owner = node("n", mesh={"heartbeat_seconds": 1000.0})
    owner.mesh.flush(NOW + 20 * QUIET_SECONDS)
    assert owner.mesh.position(owner.mesh.own) is not None


def test_with_slow_heartbeats_a_stream_is_given_more_time() -> None:
    owner = listener_of(mesh={"heartbeat_seconds": 30.0})
    owner.mesh.flush(NOW + 12 * 30.0)
    assert owner.mesh.position(X) is not None
    owner.mesh.flush(NOW + 12 * 30.0 + 1.1)
    assert owner.mesh.position(X) is None


def test_figures_of_completed_downloads_keep_their_stream() -> None:
    owner = listener_of()
    receive(owner, batch_of(5))
    owner.mesh.flush(NOW + 10 * QUIET_SECONDS)
    assert owner.mesh.rows(X) == 1
    assert owner.mesh.position(X) is not None


def test_restarts_without_end_leave_no_streams_behind() -> None:
    owner = listener_of(max_streams=4)
    for life in range(100):
        now = NOW + life * 2 * QUIET_SECONDS
        stream = StreamId("x", 1000 + life)
        batch = batch_of(record_of(1, stamp_ms=WALL_MS + life), stream=stream)
        assert owner.mesh.has_room(stream)
        receive(owner, batch, now)
        owner.mesh.flush(now)
    assert owner.mesh.statistics().streams <= 3
    assert len(owner.mesh.vector()) <= 3
    assert len(owner.registry.streams.streams) <= 4
