"""Use cases. Knows the domain and its ports, and no adapter."""
