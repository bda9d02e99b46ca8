"""The tracker link without I/O: clock, log, vectors, authentication and the session's state machine.

A link is a cursor into logs, not a queue: `log` keeps recent batches per origin, `session` reads them at its own
pace and falls back to a snapshot of an origin when the log no longer covers the gap.
"""
