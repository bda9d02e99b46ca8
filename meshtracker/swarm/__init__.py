"""Swarms in memory: packed peers, fair choice, counts, expiry and access. No I/O, no clock."""
