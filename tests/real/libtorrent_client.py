"""``python -m tests.real.libtorrent_client TORRENT DIRECTORY HOST PORT``: libtorrent until SIGTERM.

A process of its own, because libtorrent keeps UDP connection ids for a minute in the whole process, by the tracker's
address: two sessions in one process would use each other's.
"""

from __future__ import annotations

import signal
import sys

import libtorrent

GOODBYE_SECONDS = 0.5


def run(*, torrent: str, directory: str, host: str, port: str) -> None:
    """Share ``torrent`` from or into ``directory``, reachable at ``host`` and ``port``."""
    session = libtorrent.session(
        {
            "listen_interfaces": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "outgoing_interfaces": host,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            # All peers of a test may have the same address.
            "allow_multiple_connections_per_ip": True,
            # It would wait five minutes for its next announce, whatever the tracker says.
            "min_announce_interval": 1,
        }
    )
    parameters = libtorrent.load_torrent_file(torrent)
    parameters.save_path = directory
    flags = libtorrent.torrent_flags
    parameters.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
    handle = session.add_torrent(parameters)
    signal.sigwait({signal.SIGTERM})
    # A session that ends does not say "stopped" to a UDP tracker; one that goes on does, but not when it has.
    session.remove_torrent(handle)
    signal.sigtimedwait({signal.SIGTERM}, GOODBYE_SECONDS)


if __name__ == "__main__":
    # Before libtorrent's threads start, so that they inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _, torrent, directory, host, port = sys.argv
    run(torrent=torrent, directory=directory, host=host, port=port)
