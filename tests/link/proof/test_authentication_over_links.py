"""What is proven and what is said over a link: each node is who it proved to be, and no more than it may."""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.proof.authentication import Credential
from tests.link.proof.support import LISTED, OWN, RIGHT, SPEAKERS, WRONG, listener
from tests.mouth_to_mouth import NOW, Link, node, settle, synced


def test_a_node_is_who_it_proved_to_be() -> None:
    leaf, hub = node("leaf"), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=OWN, hub_credential=listener())
    # It proves that it is the leaf, and then says that it is another node.
    leaf.mesh.name = "other"
    settle(link)
    assert link.leaf.reason == link.hub.reason == "the node says it is 'other' but proved to be 'leaf'"
    assert link.hub.refusal is link.leaf.code is CloseCode.AUTHENTICATION


@pytest.mark.parametrize(("says", "forwards"), [("other", False), ("leaf", True)])
def test_who_proves_its_password_is_no_failed_proof_whatever_it_says_then(says: str, *, forwards: bool) -> None:
    """A listener throttles the addresses of those that fail: a setting that is wrong is no guessed password."""
    leaf, hub = node("leaf", forwards=forwards), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=OWN, hub_credential=listener())
    leaf.mesh.name = says
    settle(link)
    assert link.hub.refusal is CloseCode.AUTHENTICATION
    assert not link.hub.authentication_failed


def test_both_ends_know_a_failed_proof() -> None:
    link = Link(node("leaf"), node("hub", forwards=True), leaf_credential=WRONG, hub_credential=listener())
    settle(link)
    assert [end.authentication_failed for end in link.ends] == [True, True]
    assert [end.code for end in link.ends] == [CloseCode.AUTHENTICATION] * 2


def test_a_proof_that_was_revoked_is_no_failed_one() -> None:
    credential = listener()
    link = synced(node("leaf"), node("hub", forwards=True), leaf_credential=OWN, hub_credential=credential)
    credential.update(LISTED.without("leaf"))
    link.hub.check_credential(NOW)
    settle(link)
    assert [end.code for end in link.ends] == [CloseCode.AUTHENTICATION] * 2
    assert [end.authentication_failed for end in link.ends] == [False, False]


def test_so_it_is_with_the_mesh_password() -> None:
    leaf, hub = node("else"), node("hub", forwards=True)
    link = Link(leaf, hub, leaf_credential=RIGHT, hub_credential=listener())
    leaf.mesh.name = "leaf"
    settle(link)
    assert link.hub.reason == "the node says it is 'leaf' but proved to be 'else'"


@pytest.mark.parametrize(
    ("name", "password", "is_let_in"),
    [("leaf", "the leaf's own", False), ("hubs", "the hub's own", True), ("other", "right password", True)],
)
def test_a_leafs_credential_is_not_for_a_hub(name: str, password: str, *, is_let_in: bool) -> None:
    link = Link(
        node(name, forwards=True),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=listener(),
    )
    settle(link)
    assert link.hub.is_closed is not is_let_in
    if not is_let_in:
        assert link.leaf.reason == link.hub.reason
        assert link.hub.reason.startswith("leaf says it is a hub (it has link.listen), but its credential is that of")
        assert link.hub.refusal is CloseCode.AUTHENTICATION


@pytest.mark.parametrize(
    ("name", "password", "forwards", "is_let_in"),
    [
        ("hubs", "the hub's own", True, True),
        ("other", "right password", True, False),
        ("other", "right password", False, True),
    ],
)
def test_the_mesh_password_need_not_make_a_hub(name: str, password: str, *, forwards: bool, is_let_in: bool) -> None:
    """For a hub could say whatever it likes of the clients of all others."""
    link = Link(
        node(name, forwards=forwards),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=Credential("right password", LISTED, hubs_are_listed=True),
    )
    settle(link)
    assert link.hub.is_closed is not is_let_in
    assert link.hub.refusal is (None if is_let_in else CloseCode.AUTHENTICATION)


def test_a_revoked_node_loses_its_link_and_nobody_else() -> None:
    credential, hub = listener(), node("hub", forwards=True)
    revoked = synced(node("leaf"), hub, leaf_credential=OWN, hub_credential=credential)
    other = synced(node("other"), hub, leaf_credential=RIGHT, hub_credential=credential)
    credential.update(LISTED.without("leaf"))
    for end in (*revoked.ends, *other.ends):
        end.check_credential(NOW)
    settle(revoked, other)
    assert revoked.leaf.reason == revoked.hub.reason == "the credential of leaf was revoked or replaced"
    assert revoked.leaf.told_by_peer
    assert not any(end.is_closed for end in other.ends)


@pytest.mark.parametrize(("name", "password", "hubs_are_listed", "may_speak"), SPEAKERS)
def test_a_listener_tells_the_dialer_whether_it_may_speak(
    name: str, password: str, *, hubs_are_listed: bool, may_speak: bool
) -> None:
    link = synced(
        node(name),
        node("hub", forwards=True),
        leaf_credential=Credential(password),
        hub_credential=Credential("right password", LISTED, hubs_are_listed=hubs_are_listed),
    )
    assert link.leaf.peer is not None
    assert link.leaf.peer.may_speak is may_speak
    # The hub that was dialled may.
    assert link.hub.peer is not None
    assert link.hub.peer.may_speak
