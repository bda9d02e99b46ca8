"""The list of a hub's nodes as a text: back and forth, and cut anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtracker.link.proof.credentials import (
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    NO_KEYS,
    CredentialList,
    Entry,
    Keys,
    derive_keys,
)

SALT = b"0123456789abcdef"
EMPTY = CredentialList(SALT, MIN_ITERATIONS)
LISTED = (
    EMPTY.with_password("leaf-a", "leaf", "correct horse battery")
    .with_password("hub-b", "hub", "staple")
    .without("leaf-c")
)
HEAD = f"scram-sha-256: MDEyMzQ1Njc4OWFiY2RlZg== {MIN_ITERATIONS}\n"
KEY = "A" * 43 + "="


def test_keys_are_those_of_rfc_7677() -> None:
    """The example of its section 3: its proof is of this key."""
    salt, keys = derive_keys("pencil", 4096, salt=base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert base64.b64encode(salt) == b"W22ZaJ0SNY7soEsUEjb6gQ=="
    said = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(keys.stored, said, "sha256")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == keys.stored
    assert base64.b64encode(hmac.digest(keys.server, said, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_new_salt_is_drawn_each_time() -> None:
    (salt, keys), (other_salt, other_keys) = (derive_keys("same", MIN_ITERATIONS, salt=None) for _ in range(2))
    assert salt != other_salt
    assert keys != other_keys


def test_a_list_is_told_in_text_and_read_back() -> None:
    text = LISTED.to_text()
    assert CredentialList.parse(text) == LISTED
    assert [line.split()[:2] for line in text.splitlines()[2:-1]] == [
        ["hub-b", "hub"],
        ["leaf-a", "leaf"],
        ["leaf-c", "revoked"],
    ]
    assert "correct" not in text
    assert "correct" not in repr(LISTED)
    assert LISTED.entries["leaf-c"] == Entry("revoked", NO_KEYS)


def test_a_revoked_node_can_be_let_in_again() -> None:
    again = LISTED.with_password("leaf-c", "leaf", "another")
    assert again.entries["leaf-c"].role == "leaf"
    assert again.without("leaf-c") == LISTED
    assert again.entries["leaf-a"] is LISTED.entries["leaf-a"]


def test_what_is_cut_short_is_not_taken_for_less() -> None:
    text = LISTED.to_text()
    for end in range(len(text) - 1):
        with pytest.raises(ValueError, match=r"^line [0-9]: "):
            CredentialList.parse(text[:end])
    assert CredentialList.parse(text[:-1]) == LISTED


def test_a_missing_line_is_noticed() -> None:
    lines = LISTED.to_text().splitlines()
    for number in range(1, len(lines)):
        with pytest.raises(ValueError, match=r"^line [0-9]: "):
            CredentialList.parse("\n".join(lines[:number] + lines[number + 1 :]))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: it ends too early"),
        ("leaf-a revoked\n", "line 1: expected 'scram-sha-256:', a salt and iterations"),
        (HEAD.replace("4096", "4095"), "line 1: expected 'scram"),
        (HEAD.replace("4096", str(MAX_ITERATIONS + 1)), "line 1: expected 'scram"),
        (HEAD.replace("4096", "9" * 5000), "line 1: expected 'scram"),
        (HEAD.replace("4096", "x"), "line 1: expected 'scram"),
        (HEAD.replace("MDEy", ""), "line 1: expected 'scram"),
        (HEAD.replace("MDEy", "MDE"), "line 1: salt or key is not base64"),
        (HEAD + "\n# nobody\nleaf-a leaf\n", "line 4: expected a node's name, its role and two keys"),
        (HEAD + f"leaf-a leaf {KEY} {KEY} {KEY}\n", "line 2: expected a node's name"),
        (HEAD + f"leaf-a leaf {KEY} AAAA\n", "line 2: expected a node's name"),
        (HEAD + f"leaf-a leaf {KEY} secret\n", "line 2: salt or key is not base64"),
        (HEAD + f"leaf-a root {KEY} {KEY}\n", "line 2: expected a node's name"),
        (HEAD + f"leaf/a leaf {KEY} {KEY}\n", "line 2: expected a node's name"),
        (HEAD + "leaf-a revoked\nleaf-a revoked\nend: 2\n", "line 3: a second entry of leaf-a"),
        (HEAD + "leaf-a revoked\nend: 2\n", "line 3: 1 entries come before"),
        (HEAD + "end:\n", "line 2: 0 entries come before"),
        (HEAD + "end: 0\nleaf-a revoked\n", "line 3: something follows the last line"),
    ],
)
def test_a_damaged_list_is_named_by_its_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^line ") as caught:
        CredentialList.parse(text)
    assert str(caught.value).startswith(problem)
    assert "AAAA" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_node_may_be_named_like_the_last_line() -> None:
    listed = LISTED.without("end").without("scram-sha-256")
    assert CredentialList.parse(listed.to_text()) == listed


names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
entries = st.builds(
    Entry,
    st.sampled_from(["leaf", "hub"]),
    st.builds(Keys, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)),
) | st.just(Entry("revoked"))


@given(
    st.builds(
        CredentialList,
        st.binary(min_size=16, max_size=64),
        st.integers(MIN_ITERATIONS, MAX_ITERATIONS),
        st.dictionaries(names, entries, max_size=5),
    )
)
def test_any_list_is_read_back(listed: CredentialList) -> None:
    assert CredentialList.parse(listed.to_text()) == listed


@given(st.text() | st.text(alphabet=" \n#=:AEab12end").map(HEAD.__add__))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    listed, problem = EMPTY, "line "
    try:
        listed = CredentialList.parse(text)
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("line ")
    assert CredentialList.parse(listed.to_text()) == listed
