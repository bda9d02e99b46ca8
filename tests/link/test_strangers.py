"""Who may link: strangers learn nothing, and of two nodes with one name only the right one stays."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.link.authentication import FAILED, Credential
from meshtracker.link.state import State
from meshtracker.wire import link as wire
from meshtracker.wire.frame import HEADER, MAGIC, MAX_HANDSHAKE_BYTES, FrameType
from meshtracker.wire.link import control, encode_hello, encode_knowledge
from tests.link.support import CLOSED, SYNCED, at_state, pair, reasons, refused
from tests.mouth_to_mouth import NOW, PASSWORD, Link, frames, node, rows, session, settle, synced


@pytest.mark.parametrize(
    ("options", "leaf_says", "hub_says", "detail"),
    [
        ({"leaf_credential": Credential("guess")}, FAILED, FAILED, "wrong password"),
        ({"leaf_binding": bytes(32)}, FAILED, FAILED, "certificate"),
        ({"leaf_binding": None}, "link.tls differs", "link.tls differs", ""),
        ({"hub_binding": None}, "link.tls differs", "link.tls differs", ""),
    ],
)
def test_who_cannot_prove_it_is_told_one_plain_line(
    options: dict[str, Any], leaf_says: str, hub_says: str, detail: str
) -> None:
    leaf, hub = pair(5)
    link = Link(leaf, hub, **options)
    settle(link)
    assert link.states == CLOSED
    assert reasons(link)[0].startswith(leaf_says)
    assert reasons(link)[1].startswith(hub_says)
    assert detail in reasons(link)[1]
    assert not any("\n" in reason for reason in reasons(link))
    assert link.leaf.told_by_peer
    assert not link.hub.told_by_peer
    assert link.leaf.authentication_failed is link.hub.authentication_failed is bool(detail)
    # Neither a name nor a vector of the mesh was shown.
    said = [kind for kind, _ in frames(link.bytes[link.hub])]
    assert set(said) <= {FrameType.AUTH_CHALLENGE, FrameType.CLOSE}
    assert not rows(hub)
    if detail:
        assert frames(link.bytes[link.hub])[-1] == (FrameType.CLOSE, b"d6:reason21:authentication failede")


def test_the_password_never_crosses_the_link() -> None:
    leaf, hub = pair(5)
    link = synced(leaf, hub)
    for said in link.bytes.values():
        assert PASSWORD.encode() not in said


def test_a_recorded_link_cannot_be_played_again() -> None:
    leaf, hub = pair(5)
    link = synced(leaf, hub)
    empty = node("hub", forwards=True)
    end = session(empty, dials=False)
    end.receive_data(bytes(link.bytes[link.leaf]), NOW)
    assert end.state is State.CLOSED
    assert end.reason.startswith(FAILED)
    assert not rows(empty)


@pytest.mark.parametrize("dials", [True, False])
def test_a_stranger_cannot_send_large_frames(dials: bool) -> None:
    end = at_state(State.AUTHENTICATING, dials=dials)
    refused(end, HEADER.pack(MAGIC, FrameType.AUTH_FIRST, 0, MAX_HANDSHAKE_BYTES + 1), "4097 bytes")
    end = at_state(State.AUTHENTICATING, dials=dials)
    for _ in range(MAX_HANDSHAKE_BYTES):
        end.receive_data(HEADER.pack(MAGIC, FrameType.CLOSE, 0, MAX_HANDSHAKE_BYTES)[:1], NOW)
        if end.state is State.CLOSED:
            break
    assert end._decoder.waiting_bytes <= MAX_HANDSHAKE_BYTES + HEADER.size


def test_other_protocols_are_told_so() -> None:
    refused(at_state(State.AUTHENTICATING, dials=False), b"GET / HTTP/1.1\r\n\r\n", "not a meshtracker link frame")


def test_another_protocol_version_is_named_to_both() -> None:
    leaf, hub = pair()
    link = Link(leaf, hub)
    first = wire.read_control(frames(link.leaf.data_to_send(NOW))[0][1])
    fields = {key.decode(): value for key, value in first.items()} | {"v": 99}
    link.hub.receive_data(control(FrameType.AUTH_FIRST, **fields), NOW)
    settle(link)
    assert link.states == CLOSED
    assert link.leaf.reason == link.hub.reason
    assert "speaks 2, the dialer 99" in link.leaf.reason


@pytest.mark.parametrize("ahead", [6, -6, 59])
def test_a_clock_that_is_off_is_a_warning_on_both_sides(ahead: int) -> None:
    leaf, hub = pair(clock_ahead_seconds=ahead)
    link = synced(leaf, hub)
    for end in link.ends:
        [warning] = end.warnings
        assert f"{abs(ahead)} s" in warning
        assert "leaf" in warning
        assert "hub" in warning
        assert warning in [notice.text for notice in end.notices() if notice.level == "warning"]
    way = "ahead of" if ahead > 0 else "behind"
    assert link.hub.warnings == (f"the clock of leaf is {abs(ahead)} s {way} that of hub",)


@pytest.mark.parametrize("ahead", [61, -3600])
def test_a_clock_that_is_far_off_is_refused_in_plain_words(ahead: int) -> None:
    leaf, hub = pair(5, clock_ahead_seconds=ahead)
    link = Link(leaf, hub)
    settle(link)
    assert link.states == CLOSED
    for reason in reasons(link):
        assert "the clocks of" in reason
        assert f"differ by {abs(ahead)} s" in reason
        assert "NTP" in reason
    assert not rows(hub)


def test_other_settings_are_warned_about() -> None:
    leaf, _ = pair()
    hello = attrs.evolve(leaf.mesh.hello(NOW), announce_interval_seconds=600, peer_ttl_seconds=900)
    comparing = at_state(State.COMPARING, dials=False)
    comparing.receive_data(encode_hello(hello), NOW)
    assert comparing.warnings == (
        "tracker.announce_interval_seconds differs: hub 1800, leaf 600",
        "tracker.peer_ttl_seconds differs: hub 4500, leaf 900",
    )


def test_two_nodes_with_the_same_name() -> None:
    link = Link(node("hub"), node("hub", forwards=True))
    settle(link)
    assert link.states == CLOSED
    assert all("both nodes are named 'hub'" in reason for reason in reasons(link))


def test_hello_comes_once_and_before_the_vector() -> None:
    end = at_state(State.COMPARING, dials=False)
    refused(end, encode_knowledge({}, everything=False), "VECTOR before HELLO")
    end = at_state(State.COMPARING, dials=False)
    hello = encode_hello(node("leaf").mesh.hello(NOW))
    refused(end, hello + hello, "second HELLO")


def test_a_start_that_is_older_than_what_the_mesh_knows() -> None:
    """A clock set back between two starts: all that the node sends would pass for old."""
    hub = node("hub", forwards=True)
    synced(node("leaf", incarnation=9000), hub).cut()
    link = Link(node("leaf", incarnation=4000), hub)
    settle(link)
    assert link.states == CLOSED
    assert all("knows a start of leaf that is 5 s later" in reason for reason in reasons(link))


def test_a_start_in_the_far_future_does_not_take_a_name_away() -> None:
    """Or the node would be refused as an older start of itself until that time has come."""
    leaf, hub = pair()
    first = synced(leaf, hub)
    forged = Link(node("leaf", incarnation=2**63 - 1), hub)
    settle(first, forged)
    assert forged.states == CLOSED
    assert "the start of leaf is dated" in forged.hub.reason
    assert first.states == SYNCED


def test_a_name_that_is_taken_by_a_running_node() -> None:
    leaf, hub = pair()
    first = synced(leaf, hub)
    same = Link(node("leaf", incarnation=999), hub)
    settle(first, same)
    assert same.states == CLOSED
    assert all("another live node named 'leaf'" in reason for reason in reasons(same))
    assert first.states == SYNCED


@pytest.mark.parametrize("incarnation", [1000, 1001])
def test_a_node_that_comes_back_replaces_its_old_link_at_once(incarnation: int) -> None:
    leaf, hub = pair(3)
    first = synced(leaf, hub)
    back = leaf if incarnation == 1000 else node("leaf", incarnation=incarnation)
    second = synced(back, hub)
    assert first.hub.state is State.CLOSED
    assert "replaced by a newer connection" in first.hub.reason
    assert second.states == SYNCED
    assert rows(back) == rows(hub)
    assert len(rows(hub)) == 3
