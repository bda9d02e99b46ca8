"""Real BitTorrent clients that find peers through one tracker only: no DHT, no peer exchange, no local discovery.

Each client is a function of a `Share`: an async context in which the client runs, and seeds or downloads depending on
what it finds in its directory.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import pytest
import trio

from tests.real.processes import free_port, running

GOODBYE_SECONDS = 2.0
"""Transmission looks at what it has to tell trackers now and then only."""


@attrs.frozen(kw_only=True)
class Share:
    """What one client shares, and where it listens for other clients."""

    torrent: Path
    announce: str
    """The tracker in it."""
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
    """libtorrent-rasterbar, the library in qBittorrent and Deluge."""
    words = [str(share.torrent), str(share.directory), share.host, str(share.port)]
    async with running([sys.executable, "-m", "tests.real.libtorrent_client", *words], log=share.log):
        yield


@contextlib.asynccontextmanager
async def run_aria2(share: Share) -> AsyncIterator[None]:
    """aria2c."""
    need("aria2c")
    udp = share.announce.startswith("udp:")
    options = {
        "no-conf": "true",
        "dir": str(share.directory),
        "interface": share.host,
        "listen-port": str(share.port),
        # aria2 has UDP trackers only together with DHT, which here knows nobody and must not serve a private torrent.
        "dht-listen-port": str(share.port),
        "dht-file-path": str(share.directory.with_suffix(".dht")),
        "enable-dht": "true" if udp else "false",
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
    # On SIGTERM it leaves without a word to the tracker.
    async with running(command, log=share.log, end_signal=signal.SIGINT):
        yield


@contextlib.asynccontextmanager
async def run_transmission(share: Share) -> AsyncIterator[None]:
    """transmission-daemon. It takes no loopback peer from a tracker: others must call it (see test_transfer)."""
    need("transmission-daemon")
    need("transmission-remote")
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
        "rpc-bind-address": "127.0.0.1",
        "rpc-port": free_port("127.0.0.1"),
    }
    (configuration / "settings.json").write_text(json.dumps(settings))
    command = ["transmission-daemon", "--foreground", "--log-debug", "--config-dir", str(configuration)]
    async with running(command, log=share.log):
        yield
        # Version 3 says "stopped" to an HTTP tracker when its torrent stops, but not any more when it ends itself.
        remote = f"127.0.0.1:{settings['rpc-port']}"
        await trio.run_process(["transmission-remote", remote, "--torrent", "all", "--stop"], capture_stdout=True)
        await trio.sleep(GOODBYE_SECONDS)
