"""Whole transfers: a seeder that knows leaf A only, leechers that know leaf B (UDP) and leaf C (HTTP) only."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

import pytest
import trio

from tests.real.clients import Client, Share, run_aria2, run_libtorrent, run_transmission
from tests.real.mesh import Node, run_mesh, run_node
from tests.real.processes import free_port, wait_until
from tests.real.torrents import CONTENT_NAME, make_content

pytestmark = pytest.mark.real

SPREAD_SECONDS = 5.0
"""For a change to be on every node: a client's own delays and a flush."""
TRANSFER_SECONDS = 60.0
"""Transmission thinks about whom to serve every ten seconds only."""
HOPELESS_SECONDS = 4.0
"""Two announce intervals: a client that has found nobody by then finds nobody."""

CONTENT = make_content(seed=1)


def make_share(node: Node, *, scheme: Literal["udp", "http"], directory: Path, host: str) -> Share:
    """For a client that knows this node only, by this protocol only."""
    directory.mkdir(exist_ok=True)
    announce = node.announce_url(scheme)
    torrent = CONTENT.write_torrent(directory.with_suffix(".torrent"), announce=announce)
    return Share(torrent=torrent, announce=announce, directory=directory, host=host, port=free_port(host))


def make_seed(node: Node, *, tmp_path: Path, host: str) -> Share:
    """For a client that has all of the content."""
    directory = tmp_path / "seeder"
    directory.mkdir()
    (directory / CONTENT_NAME).write_bytes(CONTENT.data)
    # By HTTP: libtorrent announces to a UDP tracker once a minute at most, and would miss those who must be called.
    return make_share(node, scheme="http", directory=directory, host=host)


async def wait_counted(nodes: list[Node], *, complete: int, incomplete: int) -> None:
    """Until every node tells its clients these figures."""
    said: dict[str, tuple[int, int]] = {}

    async def is_counted() -> bool:
        for node in nodes:
            said[node.name] = await node.scrape(CONTENT.info_hash)
        return set(said.values()) == {(complete, incomplete)}

    await wait_until(
        is_counted,
        within_seconds=SPREAD_SECONDS,
        otherwise=lambda: f"(complete, incomplete) is {said}, not {(complete, incomplete)}",
    )


async def wait_whole(*shares: Share) -> None:
    """Until each of these clients has all of the content."""

    async def is_whole() -> bool:
        return all(CONTENT.is_whole(share.directory) for share in shares)

    def missing() -> str:
        logs = [share.log.read_text()[-2000:] for share in shares if not CONTENT.is_whole(share.directory)]
        return "a client lacks the content; it says:\n" + "\n".join(logs)

    await wait_until(is_whole, within_seconds=TRANSFER_SECONDS, otherwise=missing)


async def transfer(seeder: Client, leecher: Client, *, tmp_path: Path, host: str, hosts: tuple[str, str, str]) -> None:
    """From leaf A to leaves B and C; then all clients end, and no node has a peer left. ``hosts`` are the clients'."""
    async with run_mesh(tmp_path, "leaf-a", "leaf-b", "leaf-c", host=host) as mesh:
        nodes = list(mesh.values())
        at_a = make_seed(mesh["leaf-a"], tmp_path=tmp_path, host=hosts[0])
        at_b = make_share(mesh["leaf-b"], scheme="udp", directory=tmp_path / "b", host=hosts[1])
        at_c = make_share(mesh["leaf-c"], scheme="http", directory=tmp_path / "c", host=hosts[2])
        async with seeder(at_a):
            await wait_counted(nodes, complete=1, incomplete=0)
            async with leecher(at_b), leecher(at_c):
                await wait_whole(at_b, at_c)
                await wait_counted(nodes, complete=3, incomplete=0)
        await wait_counted(nodes, complete=0, incomplete=0)


# Transmission takes no loopback address from a tracker, so on the other side of it is a client that calls it.
@pytest.mark.parametrize(
    ("seeder", "leecher"),
    [
        pytest.param(run_libtorrent, run_libtorrent, id="libtorrent"),
        pytest.param(run_aria2, run_aria2, id="aria2"),
        pytest.param(run_transmission, run_libtorrent, id="transmission-seeds"),
        pytest.param(run_libtorrent, run_transmission, id="transmission-leeches"),
    ],
)
async def test_content_crosses_the_mesh(seeder: Client, leecher: Client, tmp_path: Path) -> None:
    hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    await transfer(seeder, leecher, tmp_path=tmp_path, host="127.0.0.1", hosts=hosts)


async def test_content_crosses_the_mesh_over_ipv6(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no ::1")
    await transfer(run_libtorrent, run_libtorrent, tmp_path=tmp_path, host="::1", hosts=("::1", "::1", "::1"))


async def test_without_a_link_nothing_crosses(tmp_path: Path) -> None:
    async with (
        run_node(tmp_path, "alone-a", host="127.0.0.1") as a,
        run_node(tmp_path, "alone-b", host="127.0.0.1") as b,
    ):
        at_a = make_seed(a, tmp_path=tmp_path, host="127.0.0.2")
        at_b = make_share(b, scheme="udp", directory=tmp_path / "b", host="127.0.0.3")
        async with run_libtorrent(at_a), run_libtorrent(at_b):
            await wait_counted([a], complete=1, incomplete=0)
            await wait_counted([b], complete=0, incomplete=1)
            await trio.sleep(HOPELESS_SECONDS)
            assert not CONTENT.is_whole(at_b.directory)
