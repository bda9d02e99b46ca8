"""Commands carried out by a node with real sessions: what they do, and what is written down."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.transitions import State
from meshtracker.node.commands import CommandError, DisableLinks, EnableLinks, ForgetLinks, ResetLinks, UnknownLinkError
from meshtracker.node.node import KEPT_COMMANDS, Node
from meshtracker.wire.link import encode_end_of_burst
from tests.mouth_to_mouth import NOW, WALL_OFFSET_SECONDS, Link, announce, node, rows, session, settle, synced

HUB_ADDRESS = "127.0.0.1:1"
"""Where sessions of these tests dial."""


def mesh() -> tuple[Node, Node, Node, Link, Link]:
    """A hub and two leaves that are synced."""
    hub, a, b = node("hub", forwards=True), node("a", dials=True), node("b", dials=True)
    return hub, a, b, synced(a, hub), synced(b, hub)


def closed(*links: Link) -> list[bool]:
    return [link.states == (State.CLOSED, State.CLOSED) for link in links]


def test_a_reset_closes_one_link_and_both_ends_are_told_why() -> None:
    hub, _, _, to_a, to_b = mesh()
    entry = hub.execute(ResetLinks(name="a", reason="stuck", caller="alice@desk"), NOW)
    assert entry.links == ("a",)
    settle(to_a, to_b)
    assert closed(to_a, to_b) == [True, False]
    assert to_a.leaf.reason == to_a.hub.reason == "reset on hub by alice@desk: stuck"
    assert to_a.leaf.told_by_peer
    assert to_a.leaf.code is to_a.hub.code is CloseCode.RESET
    assert [(one.name, one.resets) for one in hub.links.neighbours(NOW)] == [("a", 1), ("b", 0)]


@pytest.mark.parametrize("name", ["hub", HUB_ADDRESS])
def test_a_leaf_resets_its_link_by_the_name_of_the_hub_or_its_address(name: str) -> None:
    _, a, _, to_a, to_b = mesh()
    assert a.execute(ResetLinks(name=name, caller="bob"), NOW).links == ("hub",)
    settle(to_a, to_b)
    assert closed(to_a, to_b) == [True, False]
    assert to_a.hub.reason == "reset on a by bob"


def test_all_links_at_once() -> None:
    hub, _, _, to_a, to_b = mesh()
    assert hub.execute(ResetLinks(name=None, caller="alice"), NOW).links == ("a", "b")
    settle(to_a, to_b)
    assert closed(to_a, to_b) == [True, True]
    assert hub.execute(ResetLinks(name=None, caller="alice"), NOW).links == ()
    assert [one.resets for one in hub.links.neighbours(NOW)] == [1, 1]


def test_a_half_open_connection_is_no_link() -> None:
    hub = node("hub", forwards=True)
    stranger = session(hub, dials=False)
    assert hub.execute(ResetLinks(name=None, caller="alice"), NOW).links == ()
    assert not stranger.is_closed


def test_a_hub_that_is_being_dialled_can_be_reset_by_its_address() -> None:
    leaf = node("leaf", dials=True)
    dialing = session(leaf, dials=True)
    assert leaf.execute(ResetLinks(name=HUB_ADDRESS, caller="alice"), NOW).links == (HUB_ADDRESS,)
    assert dialing.is_closed


def test_a_connection_that_comes_about_after_its_link_was_closed_is_not_used() -> None:
    leaf = node("leaf", dials=True)
    dialing = session(leaf, dials=True)
    leaf.execute(DisableLinks(name=None, caller="alice"), NOW)
    dialing.connected(NOW)
    dialing.secured(None, NOW)
    assert (dialing.state, dialing.reason) == (State.CLOSED, "disabled on leaf by alice")


def test_closed_sessions_are_written_out_at_once() -> None:
    hub, *_ = mesh()
    woken: list[None] = []
    hub.mesh.on_new_batch = lambda: woken.append(None)
    hub.execute(ResetLinks(name=None, caller="alice"), NOW)
    assert woken == [None]


@pytest.mark.parametrize("by_hub", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_how_much_comes_after_a_reset(*, by_hub: bool, full: bool) -> None:
    hub, a, _, to_a, _ = mesh()
    announce(a, 1)
    announce(hub, 2)
    for one in (a, hub):
        one.mesh.flush(NOW)
    settle(to_a)
    commanded, other = (hub, "a") if by_hub else (a, "hub")
    commanded.execute(ResetLinks(name=other, full=full, caller="alice"), NOW)
    assert [one.wants_everything for one in commanded.links.neighbours(NOW) if one.name == other] == [full]
    to_a.cut()
    again = synced(a, hub)
    for end in again.ends:
        said = end.statistics(NOW)
        assert ("full (asked for)" in said.resync) is full
        assert ("full (asked for)" in said.sent_resync) is full
    assert rows(a) == rows(hub)
    assert not any(one.wants_everything for owner in (a, hub) for one in owner.links.neighbours(NOW))
    again.cut()
    assert "asked for" not in synced(a, hub).leaf.statistics(NOW).resync


def test_a_full_reset_is_not_forgotten_before_the_link_has_synced() -> None:
    hub, a, _, to_a, _ = mesh()
    announce(a, 1)
    a.mesh.flush(NOW)
    settle(to_a)
    hub.execute(ResetLinks(name="a", full=True, caller="alice"), NOW)
    to_a.cut()
    halfway = Link(a, hub)
    while State.BURSTING not in halfway.states:
        halfway.step()
    halfway.cut()
    assert "asked for" in synced(a, hub).hub.statistics(NOW).resync


def test_disabled_links_are_refused_until_enabled() -> None:
    hub, a, b, to_a, to_b = mesh()
    assert hub.execute(DisableLinks(name="a", reason="moving", caller="alice"), NOW).links == ("a",)
    settle(to_a, to_b)
    assert closed(to_a, to_b) == [True, False]
    assert to_a.leaf.reason == "disabled on hub by alice: moving"
    assert hub.links.is_disabled("a")
    assert not hub.links.is_disabled("b")
    for link in (to_a, refused := Link(a, hub)):
        settle(link)
        link.cut()
    assert refused.leaf.reason == refused.hub.reason == "disabled on hub by alice: moving"
    assert refused.hub.refusal is CloseCode.DISABLED
    assert to_a.leaf.code is refused.leaf.code is CloseCode.DISABLED
    assert hub.statistics(NOW).refused_links == {"disabled": 1}
    assert hub.execute(EnableLinks(name="a", caller="alice"), NOW).links == ("a",)
    synced(a, hub)
    assert b.links.synced()


def test_a_leaf_disables_its_hub_by_name_or_address() -> None:
    _, a, _, to_a, _ = mesh()
    a.execute(DisableLinks(name="hub", caller="alice"), NOW)
    assert to_a.leaf.reason == "disabled on a by alice"
    assert a.links.is_disabled(HUB_ADDRESS)
    assert a.links.is_disabled("hub")
    a.execute(EnableLinks(name=HUB_ADDRESS, caller="alice"), NOW)
    assert not a.links.is_disabled("hub")


def test_all_disabled_is_nobody_at_all_until_enabled_one_by_one_or_all() -> None:
    hub, a, b, to_a, to_b = mesh()
    hub.execute(DisableLinks(name=None, caller="alice"), NOW)
    for link in (to_a, to_b):
        settle(link)
        link.cut()
    assert closed(to_a, to_b) == [True, True]
    newcomer = Link(node("c", dials=True), hub)
    settle(newcomer)
    assert newcomer.leaf.reason == "disabled on hub by alice"
    hub.execute(EnableLinks(name="a", caller="alice"), NOW)
    synced(a, hub)
    assert hub.links.is_disabled("b")
    hub.execute(EnableLinks(name=None, caller="alice"), NOW)
    synced(b, hub)
    synced(node("c", dials=True), hub)


@pytest.mark.parametrize("kind", [ResetLinks, DisableLinks, EnableLinks, ForgetLinks])
def test_a_link_that_there_is_not_is_said(
    kind: type[ResetLinks | DisableLinks | EnableLinks | ForgetLinks],
) -> None:
    hub, *_ = mesh()
    with pytest.raises(UnknownLinkError, match=r"^there is no link called 'nobody': "):
        hub.execute(kind(name="nobody", caller="alice"), NOW)
    assert hub.statistics(NOW).audit == ()


def test_a_link_that_is_down_cannot_be_reset() -> None:
    hub, _, _, to_a, _ = mesh()
    to_a.cut()
    with pytest.raises(CommandError, match=r"^the link with a is not up: there is nothing to reset$"):
        hub.execute(ResetLinks(name="a", full=True, caller="alice"), NOW)
    assert not hub.links.wants_everything("a")


def test_a_node_that_is_not_linked_is_forgotten_with_all_that_it_is_refused_for() -> None:
    hub, a, _, to_a, to_b = mesh()
    to_a.hub.receive_data(encode_end_of_burst(), NOW)
    to_a.cut()
    refused = Link(a, hub)
    settle(refused)
    assert refused.leaf.code is CloseCode.PENALTY
    refused.cut()
    assert hub.execute(ForgetLinks(name="a", reason="mended", caller="alice"), NOW).links == ("a",)
    assert [one.name for one in hub.links.neighbours(NOW)] == ["b"]
    synced(a, hub)
    [entry] = hub.statistics(NOW).audit
    assert (entry.action, entry.links, entry.reason) == ("forget", ("a",), "mended")
    assert to_b.states == (State.SYNCED, State.SYNCED)


def test_a_node_that_is_linked_is_not_forgotten() -> None:
    hub, _, _, to_a, _ = mesh()
    with pytest.raises(CommandError, match=r"^a is linked: reset or disable the link first$"):
        hub.execute(ForgetLinks(name="a", caller="alice"), NOW)
    to_a.cut()
    # Of all only those that can be.
    assert hub.execute(ForgetLinks(name=None, caller="alice"), NOW).links == ("a",)
    assert [one.name for one in hub.links.neighbours(NOW)] == ["b"]


def test_a_hub_that_is_dialled_is_still_known_by_its_address_when_forgotten() -> None:
    _, a, _, to_a, _ = mesh()
    a.execute(ResetLinks(name="hub", full=True, caller="alice"), NOW)
    to_a.cut()
    a.execute(ForgetLinks(name="hub", caller="alice"), NOW)
    [remembered] = a.links.neighbours(NOW)
    assert (remembered.name, remembered.address, remembered.resets, remembered.wants_everything) == (
        "",
        HUB_ADDRESS,
        0,
        False,
    )
    assert a.execute(DisableLinks(name=HUB_ADDRESS, caller="alice"), NOW).links == (HUB_ADDRESS,)


def test_the_latest_commands_are_written_down() -> None:
    hub, *_ = mesh()
    hub.execute(ResetLinks(name="a", full=True, reason="stuck", caller="alice"), NOW)
    hub.execute(DisableLinks(name=None, caller="bob"), NOW + 1)
    last, first = hub.statistics(NOW + 2).audit
    assert (first.at_unix_seconds, first.caller, first.action) == (NOW + WALL_OFFSET_SECONDS, "alice", "reset")
    assert (first.links, first.everybody, first.full, first.reason) == (("a",), False, True, "stuck")
    assert (last.caller, last.action, last.links, last.everybody, last.full) == (
        "bob",
        "disable",
        ("a", "b"),
        True,
        False,
    )
    for number in range(2 * KEPT_COMMANDS):
        hub.execute(EnableLinks(name=None, reason=str(number), caller="bob"), NOW)
    audit = hub.statistics(NOW).audit
    assert len(audit) == KEPT_COMMANDS
    assert audit[0].reason == str(2 * KEPT_COMMANDS - 1)
