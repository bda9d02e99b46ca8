"""The tracker link without I/O: what two nodes say to each other, from the proof to the last batch.

A link is a cursor into logs, not a queue: `log` keeps recent batches of each stream, `sender` reads them at the peer's
pace and falls back to a snapshot of a stream when the log no longer covers the gap.

    session        one end of a link: bytes and now in, bytes and notices out
    transitions    the whole order of a session as one table
    proof/         who the peer is, and what it may speak of
    greeting       what two HELLOs must have in common
    resync_plan    what a node sends of a stream, from both ends' positions
    sender         cursors, snapshots, and what the peer still lacks
    receiver       what comes, and who may send it
    table          what the link carries: the shape of every table
    replica        what a session needs of the node behind it
    outbox         what this node's clients changed, before it is a batch
    log            recent batches of every stream
    interest       the swarms that a leaf has narrowed its link to
    outgoing       control frames and directed messages that wait, with their bounds
    allowance      how much work a peer may ask for
    split          is a link that is up also carrying data?
    dialing        when a hub is dialled again, and which of several
    clock          stamps
    policy, statistics
"""
