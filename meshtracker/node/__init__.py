"""The node: owns all state that changes, answers announces, feeds the link. No I/O, no clock."""
