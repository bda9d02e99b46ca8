"""What survives a restart: a node's swarms in a snapshot file, written while it serves."""
