"""What must hold between keys: each case is one change to a hub in good order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from meshtracker.settings.checks import find_problems
from meshtracker.settings.network import ListenAddress, RemoteAddress, UnixAddress
from meshtracker.settings.secret import Secret
from meshtracker.settings.sections import LinkSettings, NodeSettings, Settings

FILE = Path("x.pem")
HUB = Settings(
    node=NodeSettings(state_dir=Path("state")),
    link=LinkSettings(listen=(ListenAddress("127.0.0.1", 59100),), password=Secret("correct horse")),
)


def changed(**sections: dict[str, Any]) -> Settings:
    """The hub with some keys of some sections changed."""
    return attrs.evolve(HUB, **{name: attrs.evolve(getattr(HUB, name), **keys) for name, keys in sections.items()})


@pytest.mark.parametrize(
    ("sections", "key", "problem"),
    [
        ({"tracker": {"min_interval_seconds": 1801}}, "tracker.min_interval_seconds", "at most announce_interval"),
        ({"tracker": {"peer_ttl_seconds": 2759}}, "tracker.peer_ttl_seconds", "at least 2760"),
        ({"tracker": {"peer_ttl_seconds": 2759}}, "tracker.peer_ttl_seconds", "relayed at most once per half interval"),
        ({"tracker": {"numwant_default": 201}}, "tracker.numwant_default", "at most numwant_max (200), got 201"),
        ({"tracker": {"max_peers": 199_999}}, "tracker.max_peers_per_swarm", "at most max_peers"),
        ({"tracker": {"access": "deny"}}, "tracker.access_file", "must name the list"),
        ({"http": {"max_head_bytes": 7099}}, "http.max_head_bytes", "at least 7100"),
        ({"link": {"password": None}}, "link.password", "because link.listen is"),
        (
            {"link": {"password": None, "credentials_file": FILE, "hubs": (RemoteAddress("hub", 1),)}},
            "link.password",
            "because link.hubs is",
        ),
        ({"link": {"credentials_file": FILE, "listen": ()}}, "link.credentials_file", "goes into link.password"),
        (
            {"link": {"password": None, "listen": (), "hubs": (RemoteAddress("hub", 1),)}},
            "link.password",
            "because link.hubs is",
        ),
        ({"link": {"certificate_file": FILE}}, "link.key_file", "they go together"),
        ({"link": {"key_file": FILE}}, "link.certificate_file", "they go together"),
        ({"link": {"tls": "off", "ca_file": FILE}}, "link.tls", 'must be "on" because link.ca_file is set'),
        ({"link": {"flush_interval_seconds": 6.0}}, "link.flush_interval_seconds", "at most heartbeat_seconds (5.0)"),
        (
            {"link": {"soft_split_after_seconds": 9.9}},
            "link.soft_split_after_seconds",
            "at least twice heartbeat_seconds (10)",
        ),
        (
            {"link": {"heartbeat_seconds": 11.0, "soft_split_after_seconds": 22.0}},
            "link.heartbeat_seconds",
            "at most handshake_timeout_seconds",
        ),
        ({"link": {"reconnect_min_seconds": 31.0}}, "link.reconnect_min_seconds", "at most reconnect_max_seconds"),
        ({"link": {"clock_warn_seconds": 61.0}}, "link.clock_warn_seconds", "at most clock_refuse_seconds"),
        (
            {"udp": {"listen": ()}, "http": {"listen": ()}, "link": {"listen": ()}},
            "udp.listen",
            "nobody could reach this node",
        ),
        (
            {"admin": {"listen": (ListenAddress("192.0.2.1", 1),)}},
            "admin.read_token",
            "192.0.2.1:1, which others can reach",
        ),
    ],
)
def test_one_problem(sections: dict[str, dict[str, Any]], key: str, problem: str) -> None:
    ((found_key, found_problem),) = find_problems(changed(**sections))
    assert found_key == key
    assert problem in found_problem


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"tracker": {"min_interval_seconds": 1800, "peer_ttl_seconds": 2760}},
        {"tracker": {"access": "allow", "access_file": FILE}},
        {"http": {"max_head_bytes": 7100}},
        {"udp": {"listen": ()}, "http": {"listen": ()}},
        {"link": {"listen": (), "password": None}},
        {"link": {"password": None, "credentials_file": FILE}},
        {"link": {"credentials_file": FILE}},
        {"link": {"certificate_file": FILE, "key_file": FILE, "ca_file": FILE}},
        {"link": {"tls": "off"}},
        {"admin": {"listen": (ListenAddress("::1", 1), UnixAddress("/x"))}},
        {"admin": {"listen": (ListenAddress("192.0.2.1", 1),), "read_token": Secret("correct horse")}},
        {"admin": {"listen": (ListenAddress("192.0.2.1", 1),), "control_token": Secret("correct horse")}},
        {"node": {"state_dir": None}},
    ],
)
def test_no_problem(sections: dict[str, dict[str, Any]]) -> None:
    assert list(find_problems(changed(**sections))) == []


def test_a_snapshot_that_was_asked_for_needs_a_place() -> None:
    asked_for = attrs.evolve(changed(node={"state_dir": None}), origins={"snapshot.enabled": "a file"})
    assert [key for key, _ in find_problems(asked_for)] == ["node.state_dir"]
    assert list(find_problems(attrs.evolve(asked_for, node=HUB.node))) == []
