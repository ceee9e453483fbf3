"""What can go wrong, sorted by what the caller can do about it.

RotatorError
  InputError       mend the input: says where, what is wrong, what is right (exit code 2)
  RetryLater       the same call may go through later
    Unavailable      nothing happened: refused connection, 429, 503 before an effect
    OutcomeUnknown   it may have happened: a lost response, a time-out, a 5xx on a change
    Busy             somebody else holds a lease, a lock or a claim
    NotYet           the world has not caught up: boots, checks, lists, revocations
    Held             rotator waits on purpose: a pause, a window, a limit, somebody's next deploy
  NeedsHuman       no repeat can help
    Refused          the other side said no, for good
    NotAllowed       rotator's own token is not good enough for this
    NotFound         the thing is not there, or this token may not see it
    Drift            somebody else changed what rotator was about to change (P8)
  ClaimLost        another worker owns the rotation now; stop at once, write nothing
"""

from __future__ import annotations


class RotatorError(Exception):
    """Base of all errors that rotator expects. `str()` is one line fit for people.

    `next_step` is what the reader can do; `request_id` is Fly's, where there was one.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, next_step: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.message} ({self.next_step})" if self.next_step else self.message


class InputError(RotatorError):
    """What the user gave can't be taken. `where` is file:line, a field or an option."""

    exit_code = 2

    def __init__(
        self, message: str, *, where: str | None = None, next_step: str | None = None
    ) -> None:
        super().__init__(f"{where}: {message}" if where else message, next_step=next_step)
        self.where = where


class RetryLater(RotatorError):
    """The same call may go through later. `after_seconds` is the other side's wish, if any."""

    def __init__(
        self,
        message: str,
        *,
        after_seconds: float | None = None,
        next_step: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step, request_id=request_id)
        self.after_seconds = after_seconds


class Unavailable(RetryLater):
    """Nothing happened on the other side; repeating is safe."""


class OutcomeUnknown(RetryLater):
    """A change may or may not have happened; look before repeating."""


class Busy(RetryLater):
    """Somebody else holds it for a while."""


class NotYet(RetryLater):
    """The change is accepted but not visible yet."""


class Held(RetryLater):
    """Rotator itself holds back, for as long as it takes; such a wait uses up no patience."""


class NeedsHuman(RotatorError):
    """No repeat can help."""


class Refused(NeedsHuman):
    """The other side said no, for good."""


class NotAllowed(NeedsHuman):
    """The API token in use lacks the right, has expired or was revoked."""


class TokenRefused(NotAllowed):
    """The API token in use is not accepted for anything: expired, revoked or no token at all."""


class NotFound(NeedsHuman):
    """The thing does not exist, or the token may not see it (Fly says the same to both)."""


class Drift(NeedsHuman):
    """Somebody else changed the thing; it is left as it is (P8)."""


class ClaimLost(RotatorError):
    """The claim has passed to another worker. Nothing more may be written under it."""
