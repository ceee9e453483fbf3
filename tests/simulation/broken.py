"""What a broken promise is raised as."""

from __future__ import annotations


class Broken(AssertionError):
    """A promise that does not hold."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
