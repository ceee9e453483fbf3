"""Refusals in the shapes that the Machines API gives them."""

from __future__ import annotations

from rotator.simulator.model import Json


class ApiError(Exception):
    """An answer that is not a success. `status_code` names one of Fly's own short codes."""

    def __init__(self, status: int, message: str, status_code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.status_code = status_code
        self.headers: dict[str, str] = {}

    def body(self) -> Json:
        """The usual envelope."""
        body: Json = {"error": self.message}
        if self.status_code is not None:
            body["status"] = self.status_code
        return body


class LeaseConflict(ApiError):
    """A lease call that met another holder; leases have an envelope of their own."""

    def body(self) -> Json:
        """The envelope of the lease calls."""
        return {"status": "error", "message": self.message, "code": "invalid"}


class TooManyRequests(ApiError):
    """A rate limit was reached. `retry_after_seconds` goes into a header, if that is on."""

    def __init__(self, retry_after_seconds: int | None = None) -> None:
        super().__init__(429, "rate limit exceeded")
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)
