"""The HTTP and the UDP tracker as functions of bytes and of ``now``.

===================  ============================================================
``http``             a request in, a response out
``http_connection``  one connection: requests out of a stream, and its deadlines
``udp``              a datagram in, an answer or nothing out
``networks``         the client's address behind proxies
===================  ============================================================
"""
