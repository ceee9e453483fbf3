"""Each call with a copy of the token that may do that and no more, for a few minutes.

A header that somebody takes from a proxy's log or a trace is then worth one kind of action on one
app, until it ends. Caveats are added by whoever holds a token; the discharges that came with it
stay good, since they answer to an earlier part of its chain (MACAROONS.md 5).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from rotator.domain.errors import RotatorError
from rotator.domain.ports import Clock
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.bundle import Form, read_bundle
from rotator.fly.call import Call

LIFE: Final = timedelta(minutes=5)
SKEW: Final = timedelta(minutes=1)
"""How far Fly's clock may be behind ours."""
_APP: Final = re.compile(r"/(?:v1|api/v1)/apps/([^/]+)(/.+)?")
_RELEASES: Final = re.compile(r"/api/v1/releases(/.+)?")
_DOCUMENT: Final = re.compile(r"\s*(query|mutation)\s+(\w+)")
_CHANGES: Final = (
    (re.compile(r"/secrets"), "rw"),
    (re.compile(r"/machines"), "rwc"),
    (re.compile(r"/machines/[^/]+"), "rwdC"),
    (re.compile(r"/machines/[^/]+/(lease|start|stop|restart|suspend|cordon|uncordon)"), "rwC"),
    (re.compile(r"/machines/[^/]+/exec"), "rC"),
)
"""What a change of this path takes, where Fly's documents leave it open rather one more."""

NumberOf = Callable[[str], Awaitable[int]]


class CallNarrower:
    """Makes the copies. `number_of` looks an app's number up once, which caveats name it by."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers: dict[str, int] = {}
        self.number_of: NumberOf | None = None

    async def prepare(self, call: Call) -> None:
        """Learn what is needed to narrow this call to its app. Where Fly does not tell, the copy is
        narrowed by action and time only."""
        app = _app_of(call)
        if app is None or app in self._numbers or self.number_of is None or _looks_up(call):
            return
        try:
            self._numbers[app] = await self.number_of(app)
        except RotatorError:
            return

    def copy(self, call: Call, token: Secret) -> Secret:
        """The token for this call. An opaque one can't be narrowed and stays as it is."""
        try:
            bundle = read_bundle(token.reveal())
            if any(each.form is Form.PERSONAL for each in bundle.members):
                return token
            added = self._caveats(call)
            narrowed = [each.attenuate(added) for each in bundle.permissions]
        except m.MacaroonError:
            return token
        if not narrowed:
            return token
        return Secret(m.header_of([*narrowed, *bundle.discharges]))

    def _caveats(self, call: Call) -> list[c.Caveat]:
        now = self._clock.now()
        window = c.validity_window(now - SKEW, now + LIFE)
        if call.path == "/graphql":
            return [_of_document(call), window]
        mask = c.action_mask(_letters(call))
        number = self._numbers.get(_app_of(call) or "")
        return [c.apps({number: mask}) if number is not None else c.caveat(c.ACTION, mask), window]


def _of_document(call: Call) -> c.Caveat:
    """A query only reads. A mutation may be made, and what it answers with be read."""
    text = call.body.get("query") if isinstance(call.body, dict) else None
    found = _DOCUMENT.match(str(text))
    if found is None or found[1] == "query":
        return c.caveat(c.ACTION, c.READ)
    field = found[2][0].lower() + found[2][1:]
    return c.caveat(c.IF_PRESENT, [c.caveat(c.MUTATIONS, (field,))], c.READ)


def _letters(call: Call) -> str:
    if call.method == "GET":
        return "rC" if call.path.endswith("/lease") else "r"
    if _RELEASES.fullmatch(call.path):
        return "rw"
    found = _APP.fullmatch(call.path)
    tail = (found[2] or "") if found else ""
    for pattern, letters in _CHANGES:
        if pattern.fullmatch(tail):
            return letters
    return "rw" if tail.startswith(("/secrets/", "/certificates/")) else c.ACTION_LETTERS


def _app_of(call: Call) -> str | None:
    found = _APP.fullmatch(call.path)
    if found is not None:
        return found[1]
    return call.of if _RELEASES.fullmatch(call.path) and call.of else None


def _looks_up(call: Call) -> bool:
    """Whether it is the call by which an app's number is learned."""
    found = _APP.fullmatch(call.path)
    return call.method == "GET" and found is not None and not found[2]
