"""Passwords and tokens that do not show up in logs, tracebacks or reports."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import NoReturn, Self

MASK = "********"
MIN_SECRET_CHARACTERS = 8
MAX_SECRET_CHARACTERS = 1024
"""More than anybody needs; a file that is larger is not a secret but the wrong file."""

KNOWN_DEFAULTS = frozenset(
    """
    12345678 123456789 1234567890 87654321 admin adminadmin admin123 administrator bnbtlinktest changeit changeme
    changethis default defaultpassword example iloveyou letmein linkpassword linktest meshpassword meshtracker
    mypassword passw0rd password password1 password12 password123 passwordpassword placeholder qwerty123 qwertyui
    qwertyuiop replaceme root secret secret123 secretpassword secretsecret test1234 testtest token tracker
    trackerlink trackerpassword trustno1 yourpassword yoursecret
    """.split()  # noqa: SIM905 - a literal would be fifty lines
)
"""Compared in lower case and without punctuation, so that Change-Me is found too."""


class Secret:
    """Text of 8 to 1024 printable characters that is no well-known default; ``reveal()`` is the only way to it.

    Not an attrs class: ``attrs.asdict`` would open it. ValueError if unfit; its text never holds the secret.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("it is empty")
        if "".join(filter(str.isalnum, value.casefold())) in KNOWN_DEFAULTS:
            raise ValueError("it is a well-known default")
        if not MIN_SECRET_CHARACTERS <= len(value) <= MAX_SECRET_CHARACTERS:
            raise ValueError(f"it has {len(value)}")
        if not value.isprintable():
            raise ValueError("it has line breaks or control characters")
        self.__value = value

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The one line of a file. OSError if it cannot be read, ValueError if it holds no fit secret."""
        with path.open("rb") as file:
            data = file.read(4 * MAX_SECRET_CHARACTERS + 2)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8 text") from None
        return cls(text.removesuffix("\n").removesuffix("\r"))

    def reveal(self) -> str:
        """The secret itself."""
        return self.__value

    def matches(self, candidate: str) -> bool:
        """Is this the secret? Takes the same time whichever character is wrong."""
        return hmac.compare_digest(self.__value.encode(), candidate.encode("utf-8", "surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return self.matches(other.__value) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__value)

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")
