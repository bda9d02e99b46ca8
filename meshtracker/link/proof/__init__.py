"""How two nodes prove to each other that they know a password, and who may link as what.

authentication   SCRAM: the prover (dialer) and the verifier (listener), bound to the TLS channel
credentials      the list of nodes with a password of their own
handshake        the AUTH frames that carry both
"""
