"""What a node has on disk: its swarms in a snapshot file, written while it serves, and who may link to it."""
