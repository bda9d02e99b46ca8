"""meshtracker: BitTorrent trackers that act as one. Imports go downward only.

cli, __main__    commands, tables
 demo            a mesh with simulated clients on loopback
  app            a node from its settings: one nursery, each start-up step one line
   network/      trio and sockets: UDP, HTTP, link listener and dialer
   admin/        the JSON API of a node
   storage/      snapshots on disk
   frontends/    bytes to bytes: the HTTP and the UDP tracker
    node/        owns all mutable state; frozen statistics
     swarm/      peers, registry, selection, expiry, access, tables
     link/       session, proof, log, sender, receiver
      wire/      codecs: bencode, compact peers, queries, BEP 15, link frames
client/          a tracker client; imports wire and model only
settings/        frozen sections, strict loading; read by app, demo and cli only
model, errors, throttle  what all may use

announce   datagram / request -> network -> frontends -> node -> swarm        reply bytes go back the same way
change     own stream's log -> link session -> network -> hub: apply, append to log -> other links -> their swarms
"""

__version__ = "0.1.0"
