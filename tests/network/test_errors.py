"""What an operator reads of them."""

from __future__ import annotations

import socket
import ssl

import pytest
import trio

from meshtracker.network import tls
from meshtracker.network.errors import plain_error


def test_errors_in_plain_words() -> None:
    refused = OSError("all attempts to connect failed")
    refused.__cause__ = ExceptionGroup("attempts", [ConnectionRefusedError(111, "Connection refused")] * 2)
    assert plain_error(refused) == "Connection refused"
    assert plain_error(trio.TooSlowError()) == "no answer in time"
    assert plain_error(ValueError()) == "ValueError"
    assert plain_error(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"


def test_openssl_has_error_numbers_of_its_own() -> None:
    hello, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = tls.client_context(None).wrap_bio(answer, hello)
    answer.write(b"220 mail.example.org ESMTP\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        end.do_handshake()
    assert plain_error(caught.value) == "wrong version number"
    assert plain_error(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == "unexpected end"
