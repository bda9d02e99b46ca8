"""Codecs: bytes to values and back, without state or I/O. Each layout is drawn at the head of its file.

===================  ==============================================================
``bencode``          values as in BEP 3
``compact``          peers in 6 or 18 bytes
``query``            the query of an HTTP announce or scrape
``http_head``        the head of a request, read as leniently as clients need
``http_answer``      the bencoded answers
``http_response``    the response around them
``udp``              the packets of BEP 15
``connection_id``    BEP 15's proof of address
``link``             the frames between nodes
===================  ==============================================================
"""
