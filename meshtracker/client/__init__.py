"""A tracker client on trio, over HTTP and UDP: for the demo, for tests, and to ask any tracker from the shell."""
