"""A tracker client on trio, over HTTP and UDP: for the demo and for tests."""
