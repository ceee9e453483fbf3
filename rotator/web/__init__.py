"""What rotator answers over HTTP."""
