"""The buffers of recvmmsg and sendmmsg, by themselves; with a front end they are tested in test_datagrams."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

import pytest

from meshtracker.network.mmsg import ANSWER_BYTES, NAME_BYTES, SLOTS, DatagramBuffers
from meshtracker.wire.udp import MAX_DATAGRAM_BYTES

pytestmark = pytest.mark.timeout(30)


def test_the_buffers_cannot_move() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        buffers = DatagramBuffers(listener)
        assert len(buffers.received) == SLOTS * MAX_DATAGRAM_BYTES
        with pytest.raises(BufferError):
            buffers.received.append(0)  # the kernel would write to where it was


def test_what_came_and_from_whom() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        buffers = DatagramBuffers(listener)
        assert buffers.receive(SLOTS) == []
        ports = []
        for number in range(5):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(bytes([number]) * number, listener.getsockname())
                ports.append(client.getsockname()[1])
        assert buffers.receive(3) == [0, 1, 2]
        assert list(buffers.sources())[:3] == [(port, b"\x7f\0\0\1") for port in ports[:3]]
        assert buffers.received[2 * MAX_DATAGRAM_BYTES :][:3] == b"\2\2\0"
        assert buffers.receive(SLOTS) == [3, 4]


@pytest.mark.parametrize("size", [10, ANSWER_BYTES // 3], ids=["at once", "in pieces"])
def test_answers_go_to_the_sources_of_their_slots(size: int) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        listener.bind(("127.0.0.1", 0))
        buffers = DatagramBuffers(listener)
        clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(6)]
        for client in clients:
            client.settimeout(5)
            client.sendto(b"?", listener.getsockname())
        assert len(buffers.receive(SLOTS)) == 6
        assert buffers.send({}) == 0
        for slots in ((5, 0, 1, 3, 4), (2,), range(6)):
            assert buffers.send({slot: bytes([slot]) * size for slot in slots}) == 0
            assert [clients[slot].recv(ANSWER_BYTES) for slot in slots] == [bytes([slot]) * size for slot in slots]


def test_errors_come_with_their_number() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        buffers = DatagramBuffers(listener)
    with pytest.raises(OSError, match="recvmmsg") as error:
        buffers.receive(SLOTS)
    assert error.value.errno == errno.EBADF
    assert buffers.send({0: b"a", 1: b"b", 7: bytes(ANSWER_BYTES)}) == 3


def test_other_families_are_refused() -> None:
    assert set(NAME_BYTES) == {socket.AF_INET, socket.AF_INET6}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as neither, pytest.raises(OSError, match="neither") as error:
        DatagramBuffers(neither)
    assert error.value.errno == errno.EAFNOSUPPORT
