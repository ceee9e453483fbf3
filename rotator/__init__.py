"""rotator: credential rotation for Fly.io."""

__version__ = "0.1.0"
