"""The token that rotator's own calls are authorised with; it may change while they are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rotator.domain.secret import Secret
from rotator.fly.call import Call
from rotator.fly.narrow_calls import CallNarrower

Successor = Callable[[Secret], Awaitable[Secret | None]]
"""Given a token that Fly does not accept: the one to go on with, or None."""


class ApiToken:
    """Shared by all parts of a client. Without a successor it stays what it is."""

    def __init__(self, value: Secret) -> None:
        self.value = value
        self.successor: Successor | None = None

    async def replaced(self, refused: Secret) -> bool:
        """After Fly has refused a token: whether there is another one to go on with."""
        if self.value.reveal() != refused.reveal():
            return True
        if self.successor is None:
            return False
        found = await self.successor(refused)
        if found is None or found.reveal() == refused.reveal():
            return False
        self.value = found
        return True


@dataclass(frozen=True)
class Authorizer:
    """What a transport writes into the Authorization header: rotator's token, in the form that
    this API takes."""

    token: ApiToken
    form: Callable[[Secret], Secret]
    narrower: CallNarrower | None = None

    async def prepare(self, call: Call) -> None:
        """What has to be asked before the header can be made."""
        if self.narrower is not None and call.authorization is None:
            await self.narrower.prepare(call)

    def header(self, call: Call, token: Secret) -> Secret:
        """The header of a call; a call that tries a credential brings its own."""
        if call.authorization is not None:
            return call.authorization
        return self.form(self.narrower.copy(call, token) if self.narrower else token)


def as_api_token(token: Secret | ApiToken) -> ApiToken:
    """One that never changes, where only a value is given."""
    return token if isinstance(token, ApiToken) else ApiToken(token)
