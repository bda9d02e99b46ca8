"""What the first release with protocol 3 wrote: one payload of every frame, as bytes that never change.

A later release must read these as this one did, for as long as it speaks version 3. So nothing here is made anew when
a test fails: it is the code that has to be put right.
"""

from __future__ import annotations

import pytest

from meshtracker.errors import CloseCode
from meshtracker.model import PeerState
from meshtracker.wire.batch import Batch, encode_batch
from meshtracker.wire.completed_record import CompletedRecord
from meshtracker.wire.frame import FrameType
from meshtracker.wire.link import (
    Auth,
    BatchFrame,
    Burst,
    Close,
    Directed,
    DirectedKind,
    EndOfBurst,
    Heartbeat,
    Hello,
    Interest,
    InterestChange,
    Knowledge,
    Message,
    SnapshotEnd,
    SnapshotPiece,
    StreamPlan,
    SwarmsEnd,
    SwarmsPiece,
    control,
    decode,
    encode_burst,
    encode_close,
    encode_directed,
    encode_end_of_burst,
    encode_heartbeat,
    encode_hello,
    encode_interest,
    encode_knowledge,
    encode_snapshot_end,
    encode_swarms_end,
)
from meshtracker.wire.peer_record import PeerRecord, encode_group, encode_record
from meshtracker.wire.vector import BEGINNING, Position, StreamId, chain
from tests.wire.link_support import COMPLETED, PEERS, completed_of, payload_of, read_batch

AT_MS = 1_790_000_000_000
BASE = AT_MS << 16 | 3
LEAF = StreamId("leaf-1", 0x0123456789ABCDEF)
OTHER = StreamId("leaf_2.example", 0xFEDCBA9876543210)
VECTOR = {LEAF: Position(258, 0x1122334455667788), OTHER: Position(0, 0)}
COUNTED = bytes(range(20))
OTHERS = bytes(range(100, 120))
CLIENT = b"-MT0001-abcdefghijkl" + bytes.fromhex("7f000001")

PEER_GROUPS: list[tuple[bytes, list[PeerRecord]]] = [
    (
        COUNTED,
        [
            PeerRecord(CLIENT, BASE, PeerState.LEECHER, 6, bytes.fromhex("c0a80001 1ae1")),
            PeerRecord(CLIENT, BASE + (300 << 16) + 200, PeerState.PARTIAL, 6, bytes.fromhex("c0a80001 1ae2")),
            PeerRecord(CLIENT, BASE + 1, PeerState.REMOVED, 18, b""),
        ],
    ),
    (
        OTHERS,
        [PeerRecord(CLIENT, BASE, PeerState.SEEDER, 18, bytes.fromhex("20010db8000000000000000000000001 1ae1"))],
    ),
]
FIGURES = [CompletedRecord(COUNTED, 300, AT_MS), CompletedRecord(OTHERS, 1, AT_MS + 1)]


def section_of(content: list[tuple[bytes, list[PeerRecord]]]) -> bytes:
    """A section of the table of peers."""
    return b"".join(
        encode_group(key, b"".join([encode_record(record, BASE) for record in found])) for key, found in content
    )


BATCH = Batch(
    LEAF, 258, BASE, ((PEERS, section_of(PEER_GROUPS[1:])), (COMPLETED, completed_of(FIGURES)), (9, b"later"))
)
PIECE = Batch(OTHER, 0, BASE, ((PEERS, section_of(PEER_GROUPS)),))
LARGE = Batch(LEAF, 259, BASE, ((PEERS, section_of([(COUNTED, PEER_GROUPS[0][1][:1] * 8)])),))
"""Of eight records that are alike: compressed."""


def encode(message: Message) -> bytes:
    """The frame of a message, as the link makes it."""
    match message:
        case Auth():
            return control(message.kind, **{key.decode(): value for key, value in message.fields.items()})
        case Close():
            return encode_close(message.code, message.reason)
        case Hello():
            return encode_hello(message)
        case Knowledge():
            return encode_knowledge(message.vector, everything=message.everything)[0]
        case Burst():
            return encode_burst(message.plans)
        case BatchFrame():
            return encode_batch(FrameType.BATCH, message.batch)
        case SnapshotPiece():
            return encode_batch(FrameType.SNAPSHOT, message.batch)
        case SnapshotEnd():
            return encode_snapshot_end(message)
        case EndOfBurst():
            return encode_end_of_burst()
        case Heartbeat():
            return encode_heartbeat(message)
        case InterestChange():
            return encode_interest(message.interest, message.info_hashes)[0]
        case SwarmsPiece():
            return encode_batch(FrameType.SWARMS, message.batch)
        case SwarmsEnd():
            return encode_swarms_end(message.vector)
        case Directed():
            return encode_directed(message)


BATCH_PAYLOAD = (
    "066c6561662d310123456789abcdef000000000000010201a0c4506c0000030001426465666768696a6b6c6d6e6f70717273"
    "747576772d0600032d4d54303030312d6162636465666768696a6b6c7f00000120010db80000000000000000000000011ae1"
    "0237000102030405060708090a0b0c0d0e0f10111213ac0280d8c1a28c346465666768696a6b6c6d6e6f7071727374757677"
    "0181d8c1a28c3409056c61746572"
)
COMPRESSED_PAYLOAD = (
    "066c6561662d310123456789abcdef000000000000010301a0c4506c00000301639cc7c4c0c8c4ccc2cac6cec1c9c5cdc3cb"
    "c72f202824dcc1c4c0c0aceb1b62606060a89b98949c929a969e9199959d53cfc0c078600503a3d4c311a20000"
)

TRANSCRIPT: dict[FrameType, tuple[str, Message]] = {
    FrameType.AUTH_FIRST: (
        (
            "64353a6c65617374693365393a6d656368616e69736d31383a534352414d2d5348412d3235362d504c5553373a6d65737361"
            "676533383a703d746c732d7365727665722d656e642d706f696e742c2c6e3d6c6561662d312c723d616263313a7669336565"
        ),
        Auth(
            FrameType.AUTH_FIRST,
            {
                b"least": 3,
                b"mechanism": b"SCRAM-SHA-256-PLUS",
                b"message": b"p=tls-server-end-point,,n=leaf-1,r=abc",
                b"v": 3,
            },
        ),
    ),
    FrameType.AUTH_CHALLENGE: (
        "64373a6d65737361676532363a723d6162636465662c733d6332467364413d3d2c693d3430393665",
        Auth(FrameType.AUTH_CHALLENGE, {b"message": b"r=abcdef,s=c2FsdA==,i=4096"}),
    ),
    FrameType.AUTH_PROOF: (
        "64373a6d65737361676532363a633d634431302c723d6162636465662c703d63484a766232593d65",
        Auth(FrameType.AUTH_PROOF, {b"message": b"c=cD10,r=abcdef,p=cHJvb2Y="}),
    ),
    FrameType.AUTH_FINAL: (
        "64373a6d65737361676531303a763d5a6d6c755957773d65",
        Auth(FrameType.AUTH_FINAL, {b"message": b"v=ZmluYWw="}),
    ),
    FrameType.CLOSE: (
        "64343a636f646569313065363a726561736f6e32333a75702c20627574206e6f20646174613a206e61c3af766565",
        Close(CloseCode.SOFT_SPLIT, "up, but no data: naïve"),
    ),
    FrameType.HELLO: (
        (
            "6431323a6361706162696c69746965736c383a646972656374656465353a636c6f636b693137393030303030303030303065"
            "383a666f72776172647369316531313a696e6361726e6174696f6e69383139383535323932313634383638393565383a696e"
            "74657276616c693138303065353a6c65617374693365343a6e616d65363a6c6561662d31383a736f66747761726531353a6d"
            "657368747261636b657220302e33353a737065616b693065363a7461626c65736c353a7065657273393a636f6d706c657465"
            "6465333a74746c693435303065313a7669346565"
        ),
        Hello(
            name="leaf-1",
            incarnation=LEAF.incarnation,
            forwards=True,
            clock_ms=AT_MS,
            announce_interval_seconds=1800,
            peer_ttl_seconds=4500,
            software="meshtracker 0.3",
            versions=(3, 4),
            capabilities=("directed",),
            tables=("peers", "completed"),
            may_speak=False,
        ),
    ),
    FrameType.VECTOR: (
        (
            "01066c6561662d310123456789abcdef000000000000010211223344556677880e6c6561665f322e6578616d706c65fedcba"
            "987654321000000000000000000000000000000000"
        ),
        Knowledge(VECTOR, everything=True, more=False),
    ),
    FrameType.BURST: (
        (
            "64373a73747265616d736c6c363a6c6561662d31693831393835353239323136343836383935656932353865693132333436"
            "3035363136343336353038353532656932353665693065303a693065656c31343a6c6561665f322e6578616d706c65693138"
            "3336343735383534343439333036343732306569376569306569306569316531313a66656c6c20626568696e646931656565"
            "65"
        ),
        Burst(
            (
                StreamPlan(stream=LEAF, position=VECTOR[LEAF], after=256, full=False, reason=""),
                StreamPlan(
                    stream=OTHER, position=Position(7, 0), after=0, full=True, reason="fell behind", conflict=True
                ),
            )
        ),
    ),
    FrameType.BATCH: (BATCH_PAYLOAD, BatchFrame(BATCH, bytes.fromhex(BATCH_PAYLOAD))),
    FrameType.SNAPSHOT: (
        (
            "0e6c6561665f322e6578616d706c65fedcba9876543210000000000000000001a0c4506c0000030001b60100010203040506"
            "0708090a0b0c0d0e0f101112135f0000032d4d54303030312d6162636465666768696a6b6c7f000001c0a800011ae101ac02"
            "cb012d4d54303030312d6162636465666768696a6b6c7f000001c0a800011ae20700042d4d54303030312d61626364656667"
            "68696a6b6c7f0000016465666768696a6b6c6d6e6f70717273747576772d0600032d4d54303030312d616263646566676869"
            "6a6b6c7f00000120010db80000000000000000000000011ae1"
        ),
        SnapshotPiece(PIECE),
    ),
    FrameType.SNAPSHOT_END: (
        (
            "64363a626573696465693565363a6469676573746937323632333835393739303338323835366531313a696e6361726e61"
            "74696f6e69313833363437353835343434393330363437323065343a6e616d6531343a6c6561665f322e6578616d706c65"
            "373a7265636f726473693465383a73657175656e636569376565"
        ),
        SnapshotEnd(OTHER, Position(7, 0x0102030405060708), 4, 5),
    ),
    FrameType.END_OF_BURST: (
        "",
        EndOfBurst(),
    ),
    FrameType.HEARTBEAT: (
        (
            "01000001a0c4506c0000000000000100010000000000000009066c6561662d310123456789abcdef00000000000001021122"
            "3344556677880e6c6561665f322e6578616d706c65fedcba987654321000000000000000000000000000000000"
        ),
        Heartbeat(clock_ms=AT_MS, sent_frames=65_537, applied_frames=9, vector=VECTOR, answer_at_once=True),
    ),
    FrameType.INTEREST: (
        "01000102030405060708090a0b0c0d0e0f101112136465666768696a6b6c6d6e6f7071727374757677",
        InterestChange(Interest.FETCH, (COUNTED, OTHERS)),
    ),
    FrameType.SWARMS: (
        (
            "0e6c6561665f322e6578616d706c65fedcba9876543210000000000000000001a0c4506c0000030001b60100010203040506"
            "0708090a0b0c0d0e0f101112135f0000032d4d54303030312d6162636465666768696a6b6c7f000001c0a800011ae101ac02"
            "cb012d4d54303030312d6162636465666768696a6b6c7f000001c0a800011ae20700042d4d54303030312d61626364656667"
            "68696a6b6c7f0000016465666768696a6b6c6d6e6f70717273747576772d0600032d4d54303030312d616263646566676869"
            "6a6b6c7f00000120010db80000000000000000000000011ae1"
        ),
        SwarmsPiece(PIECE),
    ),
    FrameType.SWARMS_END: (
        (
            "066c6561662d310123456789abcdef000000000000010211223344556677880e6c6561665f322e6578616d706c65fedcba98"
            "7654321000000000000000000000000000000000"
        ),
        SwarmsEnd(VECTOR),
    ),
    FrameType.DIRECTED: (
        (
            "64343a626f6479383a0001020304050607383a646561646c696e65693930303065343a686f7073693765363a6e756d626572"
            "693436313136383630313834323733383739303465363a736f75726365333a687562363a746172676574363a6c6561662d31"
            "353a746f706963343a70696e67343a7768617469316565"
        ),
        Directed(
            kind=DirectedKind.ANSWER,
            source="hub",
            target="leaf-1",
            number=1 << 62,
            topic="ping",
            deadline_ms=9_000,
            hops=7,
            body=bytes(range(8)),
        ),
    ),
}


def test_every_frame_type_is_in_it() -> None:
    assert list(TRANSCRIPT) == list(FrameType)


@pytest.mark.parametrize("kind", FrameType)
def test_what_was_written_is_read_as_it_was_meant(kind: FrameType) -> None:
    payload, message = TRANSCRIPT[kind]
    assert decode(kind, bytes.fromhex(payload)) == message


@pytest.mark.parametrize("kind", FrameType)
def test_the_same_is_written_today(kind: FrameType) -> None:
    payload, message = TRANSCRIPT[kind]
    assert payload_of(encode(message)).hex() == payload


def test_a_whole_frame() -> None:
    heartbeat = Heartbeat(clock_ms=1, sent_frames=2, applied_frames=3, vector={})
    assert encode(heartbeat).hex() == "4d4c0d000000001900000000000000000100000000000000020000000000000003"


@pytest.mark.parametrize("kind", [FrameType.SNAPSHOT, FrameType.SWARMS])
def test_the_records_of_peers_are_read_as_they_were_meant(kind: FrameType) -> None:
    payload, _ = TRANSCRIPT[kind]
    assert read_batch(bytes.fromhex(payload)) == (PIECE, PEER_GROUPS)


def test_the_records_of_all_tables_are_read_as_they_were_meant() -> None:
    assert read_batch(bytes.fromhex(BATCH_PAYLOAD)) == (BATCH, [*PEER_GROUPS[1:], *FIGURES])


def test_a_compressed_batch_is_read_as_it_was_meant() -> None:
    """Only read: a later zlib may find a shorter form."""
    assert read_batch(bytes.fromhex(COMPRESSED_PAYLOAD)) == (LARGE, [(COUNTED, PEER_GROUPS[0][1][:1] * 8)])


def test_the_digest_of_a_batch_is_the_same_on_all_nodes() -> None:
    assert chain(BEGINNING.digest, bytes.fromhex(BATCH_PAYLOAD)) == 0xB714BB48A13456B2
