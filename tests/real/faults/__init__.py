"""Faults of real networks, processes and disks, done to real nodes: found, healed, and clients served meanwhile.

test_network    loss, delay, reordering, an MTU black hole, a one-way firewall
test_stop       a process that stands still
test_kill       a process that is killed again and again, amid a burst
test_disk       a disk that is full under the snapshot
test_proxy      a middlebox that passes heartbeats and swallows data

trial           one fault from its beginning to the end of its effects; all but two tests go through it
crowd           clients that keep coming
verdicts        what nodes said of a fault, and when
network         network namespaces, a wire between two of them, a firewall
proxy           a proxy that knows link frames
namespaces      runs a test once more, where it may change network and mounts
figures         what was measured, as the table of docs/reliability.md
"""
