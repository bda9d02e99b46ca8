"""A pack behaves like a dictionary of rows, whatever is done to it and however many rows it has."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from meshtracker.model import PeerState
from meshtracker.swarm.peers import IDENTITY_BYTES, PeerPack, PlainPeerPack, Row, unpack_rows
from tests.sanitizers import run_sanitized

STATES = st.sampled_from([int(state) for state in PeerState])
PACKS = tuple(dict.fromkeys((PeerPack, PlainPeerPack)))
"""Two, where one was compiled."""
MANY = 70
"""More than the rows from which a pack keeps an index."""


def identity_of(number: int) -> bytes:
    # Mostly zeros: a search in the packed bytes meets many places that look like it and are not aligned.
    return number.to_bytes(2, "little") + bytes(IDENTITY_BYTES - 2)


def address_of(number: int, size: int) -> bytes:
    return bytes(size - 2) + number.to_bytes(2, "little")


@attrs.define
class Known:
    row: Row
    address: bytes


class PackMachine(RuleBasedStateMachine):
    """Against a plain dictionary; clients of one pack may claim the same address."""

    clients = Bundle("clients")
    kind: ClassVar[type[PeerPack]] = PeerPack

    def __init__(self) -> None:
        super().__init__()
        self.pack = self.kind(6)
        self.known: dict[bytes, Known] = {}
        self.next_number = 1

    def write(self, identity: bytes, stamp: int, origin: int, state: int, address: bytes) -> None:
        row = Row(identity, stamp, origin, state)
        position = self.pack.put(self.pack.find(identity), row, address)
        assert self.pack.row(position) == row
        self.known[identity] = Known(row, bytes(6) if state == PeerState.REMOVED else address)

    @rule(target=clients, state=STATES, stamp=st.integers(0, 2**64 - 1), address=st.integers(1, 400))
    def new_client(self, state: int, stamp: int, address: int) -> bytes:
        identity = identity_of(self.next_number)
        self.next_number += 1
        self.write(identity, stamp, 7, state, address_of(address, 6))
        return identity

    @rule(state=STATES)
    def crowd(self, state: int) -> None:
        """Cross the size at which the index is built."""
        for _ in range(MANY):
            self.new_client(state, self.next_number, 1000 + self.next_number)

    @rule(identity=clients, state=STATES, stamp=st.integers(0, 2**64 - 1))
    def change_state(self, identity: bytes, state: int, stamp: int) -> None:
        self.write(identity, stamp, 65535, state, self.known[identity].address)

    @rule(identity=clients, address=st.integers(1, 400), state=STATES)
    def move(self, identity: bytes, address: int, state: int) -> None:
        self.write(identity, 5, 0, state, address_of(address, 6))

    @rule(identity=consumes(clients))
    def forget(self, identity: bytes) -> None:
        self.pack.drop(self.pack.find(identity))
        del self.known[identity]

    @rule()
    def crowd_goes_and_returns(self) -> None:
        for identity in list(self.known):
            if self.known[identity].row.stamp == int.from_bytes(identity[:2], "little"):
                self.pack.drop(self.pack.find(identity))
                self.pack.put(-1, self.known[identity].row, self.known[identity].address)

    @invariant()
    def same_rows(self) -> None:
        found = {row.identity: Known(row, address) for row, address in self.pack.entries()}
        assert found == self.known
        assert len(self.pack) == len(self.known)
        for at, (row, address) in enumerate(self.pack.entries()):
            assert self.pack.find(row.identity) == at
            assert self.pack.address(at) == address
            assert self.pack.fields(at) == row[1:]

    @invariant()
    def found_if_current(self) -> None:
        """Only with that very state and address, and as old as that or younger."""
        pack, unknown = self.pack, identity_of(0)[::-1]
        assert pack.find_current(unknown, 0, bytes(6), 0) == -1
        for at, (row, address) in enumerate(pack.entries()):
            assert pack.find_current(row.identity, row.state, address, row.stamp) == at
            assert pack.find_current(row.identity, (row.state + 1) % 4, address, row.stamp) == -1
            assert pack.find_current(row.identity, row.state, address[::-1] if any(address) else b"other!", 0) == -1
            if row.stamp < 2**64 - 1:
                assert pack.find_current(row.identity, row.state, address, row.stamp + 1) == -1

    @invariant()
    def partitions(self) -> None:
        pack = self.pack
        states = [row.state for row, _ in pack.entries()]
        assert {*states[: pack.leechers]} <= {PeerState.LEECHER, PeerState.PARTIAL}
        assert {*states[pack.leechers : pack.live]} <= {PeerState.SEEDER}
        assert {*states[pack.live :]} <= {PeerState.REMOVED}
        assert pack.partials == states.count(PeerState.PARTIAL)

    @invariant()
    def found_by_address(self) -> None:
        live = [known for known in self.known.values() if known.row.state != PeerState.REMOVED]
        holders: dict[bytes, list[bytes]] = {}
        for known in live:
            holders.setdefault(known.address, []).append(known.row.identity)
        for address, identities in holders.items():
            at = self.pack.find_address(address)
            # Of two that claim one address either may be found, or neither after the other has gone.
            if at >= 0 or len(identities) == 1:
                found = self.pack.row(at).identity if at >= 0 else b""
                assert found in identities or self.was_shared(address)
        assert self.pack.find_address(address_of(9999, 6)) == -1

    def was_shared(self, address: bytes) -> bool:
        return int.from_bytes(address[-2:], "little") <= 400 and self.pack.find_address(address) == -1


class PlainPackMachine(PackMachine):
    """The oracle itself."""

    kind = PlainPeerPack


TestPlainPack = PlainPackMachine.TestCase
TestPlainPack.settings = settings(max_examples=60, stateful_step_count=30)
TestPack = PackMachine.TestCase
TestPack.settings = settings(max_examples=60, stateful_step_count=30)


class LongPackMachine(PackMachine):
    """The same, longer."""


TestPackLong = pytest.mark.long(LongPackMachine.TestCase)
TestPackLong.settings = settings(max_examples=300, stateful_step_count=50)


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 66, 200])
@pytest.mark.parametrize("size", [6, 18])
@pytest.mark.parametrize("kind", PACKS)
def test_around_the_index(rows: int, size: int, kind: type[PeerPack]) -> None:
    pack = kind(size)
    for number in range(rows):
        state = (PeerState.LEECHER, PeerState.SEEDER, PeerState.PARTIAL)[number % 3]
        pack.put(-1, Row(identity_of(number), number, 0, state), address_of(number + 1, size))
    for number in range(rows):
        assert pack.row(pack.find(identity_of(number))).stamp == number
        assert pack.row(pack.find_address(address_of(number + 1, size))).stamp == number
    for number in range(0, rows, 2):
        pack.drop(pack.find(identity_of(number)))
        assert pack.find(identity_of(number)) == -1
        assert pack.find_address(address_of(number + 1, size)) == -1
    assert {row.stamp for row, _ in pack.entries()} == set(range(1, rows, 2))


@pytest.mark.parametrize("kind", PACKS)
def test_a_tombstone_keeps_no_address(kind: type[PeerPack]) -> None:
    pack = kind(6)
    address = address_of(5, 6)
    pack.put(-1, Row(identity_of(1), 1, 0, PeerState.SEEDER), address)
    pack.put(pack.find(identity_of(1)), Row(identity_of(1), 2, 0, PeerState.REMOVED), address)
    assert pack.find_address(address) == -1
    assert list(pack.entries()) == [(Row(identity_of(1), 2, 0, PeerState.REMOVED), bytes(6))]


@pytest.mark.parametrize("kind", PACKS)
def test_a_search_in_the_bytes_is_aligned(kind: type[PeerPack]) -> None:
    pack = kind(6)
    first = bytes(range(1, 25))
    # The looked-for identity and address lie across the border of two entries as well.
    row = Row(first, int.from_bytes(first[:8], "big"), 0x0909, PeerState.SEEDER)
    pack.put(-1, row, b"\1\2\3\4\5\6")
    pack.put(-1, Row(b"\7" * 24, 0, 0, PeerState.SEEDER), b"\7\1\2\3\4\5")
    assert pack.find(first[1:] + first[:1]) == -1
    assert pack.find_address(b"\2\3\4\5\6\7") == -1
    assert pack.find_address(b"\7\1\2\3\4\5") == 1


@pytest.mark.parametrize("kind", PACKS)
def test_two_clients_at_one_address_do_not_hide_each_other_for_good(kind: type[PeerPack]) -> None:
    pack = kind(6)
    shared = address_of(7, 6)
    for number in range(MANY):
        pack.put(-1, Row(identity_of(number), 0, 0, PeerState.LEECHER), address_of(number + 100, 6))
    pack.put(-1, Row(identity_of(500), 0, 0, PeerState.LEECHER), shared)
    pack.put(-1, Row(identity_of(501), 0, 0, PeerState.LEECHER), shared)
    pack.drop(pack.find(identity_of(500)))
    assert pack.row(pack.find_address(shared)).identity == identity_of(501)


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("kind", PACKS)
def test_older_than_names_positions(start: int, kind: type[PeerPack]) -> None:
    pack = kind(6)
    for number in range(10):
        pack.put(-1, Row(identity_of(number), number, 0, PeerState.LEECHER), address_of(number, 6))
    assert pack.older_than(6, start, 8) == list(range(start, 6))


@pytest.mark.parametrize("kind", PACKS)
def test_peer_ids(kind: type[PeerPack]) -> None:
    pack = kind(6)
    for number in range(3):
        pack.put(-1, Row(bytes([number]) * 24, 0, 0, PeerState.LEECHER), address_of(number, 6))
    assert pack.peer_ids([(1, 3)]) == (b"\1" * 20, b"\2" * 20)


@pytest.mark.parametrize("kind", PACKS)
def test_entries_may_be_read_while_the_pack_changes(kind: type[PeerPack]) -> None:
    pack = kind(6)
    for number in range(5):
        pack.put(-1, Row(identity_of(number), number, 0, PeerState.LEECHER), address_of(number, 6))
    entries = pack.entries()
    next(entries)
    pack.drop(0)
    assert [row.stamp for row, _ in entries] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [6, 18])
@pytest.mark.parametrize("most_rows", [1, 2, 5, 9])
@pytest.mark.parametrize("kind", PACKS)
def test_copies_are_the_entries_as_they_were(size: int, most_rows: int, kind: type[PeerPack]) -> None:
    pack = kind(size)
    for number in range(5):
        state = PeerState.SEEDER if number % 2 else PeerState.LEECHER
        pack.put(-1, Row(identity_of(number), number, 7, state), address_of(number, size))
    before = list(pack.entries())
    copies = pack.copies(most_rows)
    pieces = [next(copies)]
    pack.drop(0)
    pieces += copies
    assert [len(addresses) // size for _, addresses in pieces[:-1]] == [most_rows] * (len(pieces) - 1)
    read = [
        (Row(*fields), addresses[at * size : (at + 1) * size])
        for rows, addresses in pieces
        for at, fields in enumerate(unpack_rows(rows))
    ]
    assert read == before


def fuzz(seed: int, acts: int) -> None:
    """The same done to a pack and to a plain one, of any size, brings the same rows; run under sanitizers too."""
    rng = random.Random(seed)
    size = rng.choice((6, 18))
    pack, plain = PeerPack(size), PlainPeerPack(size)
    for act in range(acts):
        # It swells and shrinks: index and memory are made and given back.
        grows = act * 6 // acts % 2 == 0
        if rng.random() < (0.3 if grows else 0.9) and len(plain):
            position = rng.randrange(len(plain))
            pack.drop(position)
            plain.drop(position)
        identity, address = identity_of(rng.randrange(900)), address_of(rng.randrange(600), size)
        position = plain.find(identity)
        assert pack.find(identity) == position
        if grows or position >= 0:
            row = Row(
                identity, rng.randrange(2**64), rng.randrange(2**16), rng.choice([int(state) for state in PeerState])
            )
            at = plain.put(position, row, address)
            assert pack.put(position, row, address) == at
            state, stamp = rng.choice((row.state, 0)), rng.choice((row.stamp, row.stamp + 1, -5))
            assert pack.find_current(identity, state, address, stamp) == plain.find_current(
                identity, state, address, stamp
            )
        assert (len(pack), pack.leechers, pack.live, pack.partials) == (
            len(plain),
            plain.leechers,
            plain.live,
            plain.partials,
        )
        if act % 20 == 0:
            ranges = [(plain.leechers, plain.live), (0, len(plain) // 2)]
            assert pack.addresses_of(ranges) == plain.addresses_of(ranges)
            assert pack.peer_ids(ranges) == plain.peer_ids(ranges)
            assert pack.older_than(2**63, 0, len(plain)) == plain.older_than(2**63, 0, len(plain))
    assert (bytes(pack.rows), bytes(pack.addresses)) == (bytes(plain.rows), bytes(plain.addresses))
    again = PeerPack.from_bytes(size, rows=bytes(plain.rows), addresses=bytes(plain.addresses))
    assert [again.find(row.identity) for row, _ in plain.entries()] == list(range(len(plain)))


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(6))
def test_in_c_it_is_the_same(seed: int) -> None:
    fuzz(seed, 4000)


@pytest.mark.compiled
@pytest.mark.parametrize("position", [-2, 3, 2**40])
def test_in_c_what_is_out_of_bounds_is_an_error(position: int) -> None:
    pack = PeerPack(6)
    for number in range(3):
        pack.put(-1, Row(identity_of(number), 0, 0, PeerState.LEECHER), address_of(number, 6))
    for call in (pack.address, pack.identity, pack.fields, pack.drop):
        with pytest.raises(IndexError):
            call(position)
    for ranges in ([(0, 4)], [(2, 1)], [(-1, 1)]):
        with pytest.raises(IndexError):
            pack.addresses_of(ranges)
    with pytest.raises(ValueError, match="an identity has 24 bytes"):
        pack.put(-1, Row(b"short", 0, 0, PeerState.LEECHER), address_of(1, 6))
    with pytest.raises(ValueError, match="an address of this family has 6 bytes"):
        pack.put(-1, Row(identity_of(9), 0, 0, PeerState.LEECHER), address_of(1, 18))
    with pytest.raises(ValueError, match="out of range"):
        pack.put(-1, Row(identity_of(9), 0, 2**16, PeerState.LEECHER), address_of(1, 6))
    assert len(pack) == 3


@pytest.mark.long
def test_under_sanitizers(tmp_path: Path) -> None:
    run_sanitized("from tests.swarm.test_peers import fuzz\nfor seed in range(8): fuzz(seed, 5_000)", into=tmp_path)
