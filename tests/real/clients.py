"""Real BitTorrent clients that find peers through one tracker only: no DHT, no peer exchange, no local discovery.

Each client is a function of a `Share`: an async context in which the client runs, and seeds or downloads depending on
what it finds in its directory.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import libtorrent
import pytest

from tests.real.processes import running


@attrs.frozen(kw_only=True)
class Share:
    """What one client shares, and where it listens for other clients."""

    torrent: Path
    directory: Path
    """Holds the content, or will."""
    host: str
    """Loopback address to be reached at and to call from."""
    port: int

    @property
    def log(self) -> Path:
        """What the client writes, beside its directory."""
        return self.directory.with_suffix(".log")


Client = Callable[[Share], AbstractAsyncContextManager[None]]


def need(program: str) -> None:
    """Skip the test on a machine that lacks the program."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@contextlib.asynccontextmanager
async def run_libtorrent(share: Share) -> AsyncIterator[None]:
    """libtorrent-rasterbar, the library in qBittorrent and Deluge; it runs in threads of the test."""
    endpoint = f"[{share.host}]:{share.port}" if ":" in share.host else f"{share.host}:{share.port}"
    session = libtorrent.session(
        {
            "listen_interfaces": endpoint,
            "outgoing_interfaces": share.host,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            # Every client of a test may have the same address.
            "allow_multiple_connections_per_ip": True,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            # It would wait five minutes whatever the tracker says.
            "min_announce_interval": 1,
            "stop_tracker_timeout": 1,
        }
    )
    parameters = libtorrent.load_torrent_file(str(share.torrent))
    parameters.save_path = str(share.directory)
    flags = libtorrent.torrent_flags
    parameters.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
    session.add_torrent(parameters)
    try:
        yield
    finally:
        # The proxy's end waits for the session's, which says "stopped" to the tracker.
        del session


@contextlib.asynccontextmanager
async def run_aria2(share: Share) -> AsyncIterator[None]:
    """aria2c."""
    need("aria2c")
    options = {
        "no-conf": "true",
        "dir": str(share.directory),
        "interface": share.host,
        "listen-port": str(share.port),
        "dht-listen-port": str(share.port),  # it sends UDP announces from there, also without DHT
        "enable-dht": "false",
        "enable-dht6": "false",
        "bt-enable-lpd": "false",
        "enable-peer-exchange": "false",
        "disable-ipv6": "false" if ":" in share.host else "true",
        "async-dns": "false",
        "file-allocation": "none",
        "check-integrity": "true",
        "seed-ratio": "0",  # for ever
        "console-log-level": "info",
        "show-console-readout": "false",
    }
    command = ["aria2c", *(f"--{name}={value}" for name, value in options.items()), str(share.torrent)]
    async with running(command, log=share.log):
        yield


@contextlib.asynccontextmanager
async def run_transmission(share: Share) -> AsyncIterator[None]:
    """transmission-daemon. It takes no loopback peer from a tracker: others must call it (see test_transfer)."""
    need("transmission-daemon")
    configuration = share.directory.with_suffix(".transmission")
    watched = configuration / "watched"
    watched.mkdir(parents=True)
    shutil.copy(share.torrent, watched)
    family = "ipv6" if ":" in share.host else "ipv4"
    settings = {
        f"bind-address-{family}": share.host,
        "peer-port": share.port,
        "download-dir": str(share.directory),
        "watch-dir": str(watched),
        "watch-dir-enabled": True,
        "dht-enabled": False,
        "pex-enabled": False,
        "lpd-enabled": False,
        "utp-enabled": False,
        "port-forwarding-enabled": False,
        "rpc-enabled": False,
    }
    (configuration / "settings.json").write_text(json.dumps(settings))
    command = ["transmission-daemon", "--foreground", "--log-debug", "--config-dir", str(configuration)]
    async with running(command, log=share.log):
        yield
