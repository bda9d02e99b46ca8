"""The admin API of a node, and its client.

============  =================================================================
``status``    the figures that everything here renders
``api``       JSON over HTTP: /api/status, /api/links, /health, and commands
``commands``  the body of a request as a command for links
``scopes``    who may read and who may control
``tokens``    what they present
``metrics``   the same figures for Prometheus: /metrics
``server``    sockets, connections and their bounds (Hypercorn on trio)
``client``    what the command line asks a running node with; blocks
============  =================================================================
"""
