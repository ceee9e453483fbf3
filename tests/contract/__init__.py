"""Our operations and the simulator held against Fly's published descriptions."""
