"""Faults of real networks, processes and disks, done to real nodes: found, healed, and clients served meanwhile.

test_network    loss, delay, reordering, an MTU black hole, a one-way firewall
test_stop       a process that stands still
test_kill       a process that is killed again and again, amid a burst
test_disk       a disk that is full under the snapshot
test_proxy      a middlebox that passes heartbeats and swallows data
test_recovery   a clock that was a day off, a second node of a name, hub and leaf killed at once

trial           one fault from its beginning to the end of its effects; most tests go through it
crowd           clients that keep coming
census          who is in which swarm, and whether all nodes say the same
verdicts        what nodes said of a fault, and when
network         network namespaces, a wire between two of them, a firewall
proxy           a proxy that knows link frames
walls           the wall clock of one process, set by libfaketime
namespaces      runs a test once more, where it may change network and mounts
figures         what was measured, as the table of docs/reliability.md
"""
