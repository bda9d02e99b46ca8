"""Who may link: strangers learn nothing, and nodes that do not fit are told why. Names are in `test_names`."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.proof.authentication import FAILED, Credential
from meshtracker.link.transitions import State
from meshtracker.wire.frame import HEADER, MAGIC, MAX_HANDSHAKE_BYTES, FrameType
from meshtracker.wire.link import control, encode_hello, encode_knowledge
from tests.link.support import CLOSED, at_state, hello_of, pair, reasons, refused
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
    assert link.leaf.code is link.hub.code
    assert link.leaf.told_by_peer
    assert not link.hub.told_by_peer
    assert link.leaf.authentication_failed is link.hub.authentication_failed is bool(detail)
    # Neither a name nor a vector of the mesh was shown.
    said = [kind for kind, _ in frames(link.bytes[link.hub])]
    assert set(said) <= {FrameType.AUTH_CHALLENGE, FrameType.CLOSE}
    assert not rows(hub)
    if detail:
        assert frames(link.bytes[link.hub])[-1] == (FrameType.CLOSE, b"d4:codei5e6:reason21:authentication failede")


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


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({"v": 2}, "the dialling node version 2: upgrade the dialling node"),
        ({"v": 99, "least": 4}, "the dialling node versions 4 to 99: upgrade the listening node"),
    ],
)
def test_another_protocol_version_is_named_to_both(says: dict[str, int], told: str) -> None:
    leaf, hub = pair()
    link = Link(leaf, hub)
    link.hub.receive_data(control(FrameType.AUTH_FIRST, mechanism="SCRAM-SHA-256-PLUS", message="x", **says), NOW)
    settle(link)
    assert link.states == CLOSED
    assert link.leaf.reason == link.hub.reason == f"the listening node speaks version 3 of the link protocol, {told}"
    assert link.leaf.code is link.hub.code is CloseCode.VERSION


@pytest.mark.parametrize("dialer_is_older", [True, False])
def test_no_common_version_in_hello_is_refused_too(dialer_is_older: bool) -> None:
    """Somebody who says one thing at first and another thing then."""
    end = at_state(State.GREETING, dials=dialer_is_older)
    versions = (1, 2) if dialer_is_older else (4, 9)
    name = "hub" if dialer_is_older else "leaf"
    hello = attrs.evolve(hello_of(node(name)), versions=versions)
    refused(end, encode_hello(hello), "upgrade hub$")
    assert end.code is CloseCode.VERSION


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
    assert link.leaf.code is link.hub.code is CloseCode.CLOCK
    assert not rows(hub)


def test_other_settings_are_warned_about() -> None:
    leaf, _ = pair()
    hello = attrs.evolve(hello_of(leaf), announce_interval_seconds=600, peer_ttl_seconds=900)
    greeting = at_state(State.GREETING, dials=False)
    greeting.receive_data(encode_hello(hello), NOW)
    assert greeting.warnings == (
        "tracker.announce_interval_seconds differs: hub 1800, leaf 600",
        "tracker.peer_ttl_seconds differs: hub 4500, leaf 900",
    )


def test_two_nodes_with_the_same_name() -> None:
    link = Link(node("hub"), node("hub", forwards=True))
    settle(link)
    assert link.states == CLOSED
    assert all("both nodes are named 'hub'" in reason for reason in reasons(link))
    assert link.hub.code is CloseCode.NAME


def test_hello_comes_once_and_before_the_vector() -> None:
    end = at_state(State.GREETING, dials=False)
    refused(end, encode_knowledge({}, everything=False)[0], "VECTOR is not allowed while greeting")
    end = at_state(State.GREETING, dials=False)
    hello = encode_hello(hello_of(node("leaf")))
    refused(end, hello + hello, "HELLO is not allowed while comparing")
