"""Sockets: everything that waits for clients and for other nodes.

==============  =================================================================
``udp, http``   the tracker's sockets, served in batches
``link``        the hub's listener and the leaf's dialer
``connection``  one link: TLS, and the tasks around a session
``tls``         the hub's own certificate, and contexts
``addresses``   listening sockets
==============  =================================================================
"""
