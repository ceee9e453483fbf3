"""One module a target: deliver, confirm, remove."""
