"""Connections that come in: what strangers can cost a hub."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from tests.network.places import Log, dialing, is_synced, listening, place, until, warnings


@pytest.fixture
def log() -> object:
    structlog.reset_defaults()
    with capture_logs() as entries:
        yield entries


async def test_a_source_that_fails_often_is_not_served_for_a_while(log: Log) -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a", password="not that password"), hub.port):
            await until(lambda: any("too many failed proofs" in str(entry["event"]) for entry in log))
        good = place("good")
        async with dialing(good, hub.port):
            await trio.sleep(0.3)
            assert not good.node.links.synced()


async def test_half_open_connections_are_bounded() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        # Two, a quarter of them, from each source.
        idle = [
            socket.create_connection(("127.0.0.1", hub.port), source_address=(f"127.0.0.{number % 5 + 1}", 0))
            for number in range(15)
        ]
        try:
            await until(lambda: len(hub.links()) == 8)
            await trio.sleep(0.1)
            assert len(hub.links()) == 8
            # They are let go after the handshake's time, and a leaf gets its turn.
            async with dialing(place("a"), hub.port) as a:
                await until(lambda: is_synced(a))
        finally:
            for connection in idle:
                connection.close()


async def test_one_source_cannot_use_up_the_handshakes() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        idle = [socket.create_connection(("127.0.0.1", hub.port), source_address=("127.0.0.2", 0)) for _ in range(12)]
        try:
            await until(lambda: len(hub.links()) == 2)
            with trio.fail_after(1.5):  # before the handshakes have timed out
                async with dialing(place("a"), hub.port) as a:
                    await until(lambda: is_synced(a))
        finally:
            for connection in idle:
                connection.close()


def attempts(port: int, count: int, *, source: str = "127.0.0.1") -> list[socket.socket]:
    """Strangers who say nothing."""
    return [socket.create_connection(("127.0.0.1", port), source_address=(source, 0)) for _ in range(count)]


async def test_a_source_that_comes_too_often_costs_no_handshake(log: Log) -> None:
    async with listening(place("hub", forwards=True), max_handshakes=1000, max_attempts_per_minute=20) as hub:
        strangers = attempts(hub.port, 60, source="127.0.0.2")
        try:
            await until(lambda: hub.doors().attempts == 60)
            assert hub.doors().refused_rate == 40
            assert len(hub.links()) == 20
            async with dialing(place("a"), hub.port) as a:
                await until(lambda: is_synced(a), seconds=1.5)
        finally:
            for stranger in strangers:
                stranger.close()
    assert [line for line in warnings(log) if "too many new connections" in line] == [
        "links refused for a minute: too many new connections"
    ]


async def test_a_source_outside_the_allowed_networks_is_soon_not_even_told(log: Log) -> None:
    networks = (ip_network("127.0.0.9/32"),)
    async with listening(place("hub", forwards=True), networks=networks) as hub:
        async with dialing(place("stranger"), hub.port):
            await until(lambda: hub.doors().refused_network >= 8)
            assert len([link for link in hub.links() if "allowed_networks" in link.reason]) == 1
            async with dialing(place("a"), hub.port, bind_address="127.0.0.9") as a:
                await until(lambda: is_synced(a))
    told = [entry for entry in log if "is not in the listening node's" in str(entry["event"])]
    # Each by the hub and by the leaf; from then on nothing was said.
    assert len(told) == 2 * 5
    assert warnings(log).count("links refused for a minute: not in link.allowed_networks") == 1


async def test_failed_proofs_are_counted() -> None:
    async with listening(place("hub", forwards=True)) as hub:
        async with dialing(place("a", password="not that password"), hub.port):
            await until(lambda: hub.doors().refused_proofs >= 2)
        assert hub.doors().failed_proofs == 4
