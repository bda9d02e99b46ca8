"""Errors of sockets and of TLS in an operator's words."""

from __future__ import annotations

import os
import socket
import ssl

import trio


def plain_error(error: BaseException) -> str:
    """The words of the error at the bottom, for an operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(plain_error(part) for part in error.exceptions))
    if isinstance(error, ssl.SSLError):
        # Its errno is OpenSSL's.
        reason: str = getattr(error, "reason", None) or "unexpected end"  # ssl sets it on what it raises itself
        return getattr(error, "verify_message", "") or reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # trio puts the address into strerror, where it is only repeated.
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
