"""The buffers of recvmmsg and sendmmsg, by themselves; with a front end they are tested in test_datagrams."""

from __future__ import annotations

import errno
import socket

import pytest

from meshtracker.network.mmsg import ANSWER_BYTES, HEADER_WORDS, NAME_BYTES, SLOTS, DatagramBuffers

pytestmark = pytest.mark.timeout(30)


def test_the_buffers_are_those_of_the_headers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        buffers = DatagramBuffers(listener)
        names = [buffers.out_words[slot * HEADER_WORDS] for slot in range(SLOTS)]
        assert names == [buffers.names_at + slot * buffers.name_bytes for slot in range(SLOTS)]
        assert len(buffers.answers) == ANSWER_BYTES
        with pytest.raises(BufferError):
            buffers.answers.append(0)  # it would move, and the kernel write to where it was


def test_a_received_name_is_where_its_slot_says() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        buffers = DatagramBuffers(listener)
        assert buffers.receive(SLOTS) == 0
        ports = []
        for number in range(5):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(bytes(number), listener.getsockname())
                ports.append(client.getsockname()[1])
        assert buffers.receive(3) == 3
        size = buffers.name_bytes
        found = [int.from_bytes(buffers.names[slot * size + 2 : slot * size + 4], "big") for slot in range(3)]
        assert found == ports[:3]
        assert buffers.receive(SLOTS) == 2


def test_errors_come_with_their_number() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        buffers = DatagramBuffers(listener)
    with pytest.raises(OSError, match="recvmmsg") as error:
        buffers.receive(SLOTS)
    assert error.value.errno == errno.EBADF
    assert buffers.send(0, 3) == 0


def test_other_families_are_refused() -> None:
    assert set(NAME_BYTES) == {socket.AF_INET, socket.AF_INET6}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as neither, pytest.raises(OSError, match="neither") as error:
        DatagramBuffers(neither)
    assert error.value.errno == errno.EAFNOSUPPORT
