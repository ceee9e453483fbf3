"""`POST /hooks/{name}`: prove it, read it, hand it to the engine, and say what will happen.

Nothing of a body, and no header, is ever logged or answered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final

import orjson
import structlog

from rotator.domain.errors import RotatorError
from rotator.domain.hook import Delivery, Hook, HookFormat, RequestOutcome
from rotator.engine.alerts.accept import accept
from rotator.engine.alerts.rejections import Rejections
from rotator.engine.alerts.telling import Responder
from rotator.web.http import Answered, Head
from rotator.web.limits import Gate, source_of
from rotator.web.payloads import PING, MalformedPayload, read_reports
from rotator.web.signatures import ID_MAX, Mac, Verified, hmac_sha256, verify

log = structlog.get_logger(__name__)
_PATH: Final = re.compile(r"/hooks/([a-z0-9][a-z0-9-]{0,39})")
_JSON: Final = re.compile(r"(?i)application/([a-z0-9.+-]+\+)?json\s*(;.*)?")
_ID: Final = re.compile(r"[!-~]+")
UNKNOWN: Final = "unknown"
"""The name under which requests to hooks that don't exist are counted."""

_REFUSALS: Final[Mapping[RequestOutcome, tuple[HTTPStatus, str]]] = {
    RequestOutcome.UNKNOWN_HOOK: (HTTPStatus.NOT_FOUND, "there is no such hook"),
    RequestOutcome.WRONG_SIGNATURE: (HTTPStatus.UNAUTHORIZED, "the signature is not right"),
    RequestOutcome.STALE: (HTTPStatus.BAD_REQUEST, "the signature's time is too far from now"),
}
_BROKEN: Final[Mapping[int, tuple[RequestOutcome, str]]] = {
    HTTPStatus.TOO_MANY_REQUESTS: (RequestOutcome.LIMITED, "too many requests at once"),
    HTTPStatus.REQUEST_TIMEOUT: (RequestOutcome.TOO_SLOW, "the request came too slowly"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (RequestOutcome.TOO_LARGE, "the body is too large"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (RequestOutcome.TOO_LARGE, "the head is too large"),
}
Count = Callable[[str, RequestOutcome], None]


class HookHandler:
    """Serves the hooks of the manifest, as it stands."""

    def __init__(
        self,
        responder: Responder,
        count: Count,
        *,
        trust_fly_client_ip: bool = False,
        gate: Gate | None = None,
        mac: Mac = hmac_sha256,
    ) -> None:
        self._responder, self._clock = responder, responder.parts.clock
        self._count, self._mac = count, mac
        self._trusts = trust_fly_client_ip
        self._gate = gate or Gate()
        self._hooks: Mapping[str, Hook] = {}
        self.rejections = Rejections(responder.parts)

    def configure(self, hooks: Sequence[Hook]) -> None:
        """Serve these from now on."""
        self._hooks = {hook.spec.name: hook for hook in hooks}

    async def admit(self, head: Head) -> Answered | None:
        """What can be refused before the body is read."""
        if not self._gate.admits(self.source(head), self._clock.now()):
            status = HTTPStatus.TOO_MANY_REQUESTS
            return self._refused(RequestOutcome.LIMITED, status, "too many requests", retry=5)
        if head.method != "POST":
            status = HTTPStatus.METHOD_NOT_ALLOWED
            refused = self._refused(RequestOutcome.MALFORMED, status, "only POST is taken here")
            return Answered(refused.status, refused.body, {**refused.headers, "Allow": "POST"})
        if not _JSON.fullmatch(head.headers.get("content-type", "")):
            why = "send application/json"
        elif head.headers.get("content-encoding", "identity").strip().lower() != "identity":
            why = "send the body as it is, without an encoding"
        else:
            return None
        return self._refused(RequestOutcome.MALFORMED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)

    async def handle(self, head: Head, body: bytes) -> Answered:
        """A request whose body is here."""
        named = _PATH.fullmatch(head.target)
        hook = self._hooks.get(named[1]) if named else None
        now = self._clock.now()
        verdict = verify(hook, head.headers, body, now, self._mac)
        if hook is None or isinstance(verdict, RequestOutcome):
            assert isinstance(verdict, RequestOutcome)
            name = hook.spec.name if hook is not None else UNKNOWN
            await self._reject(name, verdict)
            return self._refused(verdict, *_REFUSALS[verdict], hook=name)
        self._gate.proven(self.source(head), now)
        try:
            answer = await self._proven(hook, verdict, head, body)
        except MalformedPayload as error:
            answer = self._refused(
                RequestOutcome.MALFORMED, HTTPStatus.BAD_REQUEST, str(error), hook=hook.spec.name
            )
        except Exception as error:
            # Also what nobody expects: a text of an error could hold a part of the request.
            known = isinstance(error, RotatorError)
            told = str(error) if known else type(error).__name__
            log.error("a hook's request could not be kept", hook=hook.spec.name, error=told)
            status, why = HTTPStatus.SERVICE_UNAVAILABLE, "it could not be kept; send it again"
            answer = self._refused(
                RequestOutcome.FAILED, status, why, hook=hook.spec.name, retry=30
            )
        return answer

    async def broken(self, status: int, why: str = "") -> Answered:
        """What is no request, or came too slowly."""
        outcome, told = _BROKEN.get(status, (RequestOutcome.MALFORMED, why or "not a request"))
        return self._refused(outcome, HTTPStatus(status), told)

    async def _proven(self, hook: Hook, found: Verified, head: Head, body: bytes) -> Answered:
        spec = hook.spec
        if head.repeated & {spec.header, spec.timestamp_header, *_OWN[spec.format]}:
            raise MalformedPayload("a header that counts came more than once")
        event = head.headers.get("x-github-event", "")
        key = _key(spec.format, found)
        reports = read_reports(spec.format, event, body)
        if not reports:
            self._count(spec.name, RequestOutcome.IGNORED)
            told = "pong" if event == PING else "ignored"
            return self._answered(HTTPStatus.OK, orjson.dumps({"action": told}))
        delivery = Delivery(spec.name, key, found.digests[0], self._clock.now())
        answer = await accept(self._responder, spec, delivery, found.digests[1:], reports)
        self._count(spec.name, answer.outcome)
        await self._reject(spec.name, answer.outcome)
        log.info("hook request", hook=spec.name, outcome=answer.outcome.value, leaks=len(reports))
        return self._answered(answer.status, answer.body)

    async def _reject(self, hook: str, outcome: RequestOutcome) -> None:
        """Tell of it if it is time; a database that is gone does not change the answer."""
        if hook == UNKNOWN:
            return
        try:
            await self.rejections.count(hook, outcome)
        except RotatorError as error:
            log.warning("a refused request could not be told", error=str(error))

    def source(self, head: Head) -> str:
        """Who sends, as far as limits go."""
        forwarded = head.headers.get("fly-client-ip") if self._trusts else None
        return source_of(head.peer, forwarded)

    def _refused(
        self,
        outcome: RequestOutcome,
        status: HTTPStatus,
        why: str,
        *,
        hook: str = UNKNOWN,
        retry: int | None = None,
    ) -> Answered:
        self._count(hook, outcome)
        headers = {"Retry-After": str(retry)} if retry is not None else {}
        return self._answered(status, orjson.dumps({"error": why}), headers)

    def _answered(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answered:
        date = format_datetime(self._clock.now(), usegmt=True)
        return Answered(status, body, {"Date": date, **(headers or {})})


_OWN: Final[Mapping[HookFormat, frozenset[str]]] = {
    HookFormat.GITHUB: frozenset({"x-github-event", "x-github-delivery"}),
    HookFormat.STANDARD: frozenset({"webhook-id", "webhook-timestamp"}),
    HookFormat.FLY: frozenset(),
    HookFormat.HEX: frozenset(),
    HookFormat.BASE64: frozenset(),
}


def _key(form: HookFormat, found: Verified) -> str:
    """What a repeat is known by. The sender's id is kept as its digest: it is a stranger's text."""
    if found.id is None and form is not HookFormat.GITHUB:
        return found.digests[0]
    sent = found.id or ""
    if len(sent) > ID_MAX or not _ID.fullmatch(sent):
        raise MalformedPayload("the id of the request is missing, too long or no plain text")
    return hashlib.sha256(sent.encode("latin-1")).hexdigest()
