"""One HTTP transport for both APIs: limits, bounds, repeats and errors in one place.

What may be repeated: reads and idempotent changes always; any call that surely had no effect (429,
a connection that was never made). A change whose answer was lost is never repeated here: that
is `OutcomeUnknown`, and the engine looks first. (Fly's own client repeats mutations on 502 and
503, which can make two tokens of one name.)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from rotator import __version__
from rotator.domain.errors import (
    NotYet,
    OutcomeUnknown,
    RetryLater,
    RotatorError,
    TokenRefused,
    Unavailable,
)
from rotator.domain.ports import Clock, Entropy
from rotator.domain.secret import Secret
from rotator.fly.api_token import Authorizer
from rotator.fly.call import Answer, Call, Effect
from rotator.fly.clock_watch import ClockWatch
from rotator.fly.counting import CallCounter
from rotator.fly.failures import failure, lost, request_id
from rotator.fly.limits import RateLimiter

ATTEMPTS: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 20.0
CONNECT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 640
"""Enough for the waits of a wide wave and what is asked beside them; below the 1,024 files that a
process may have open by default."""
MAX_IDLE_CONNECTIONS: Final = 100
USER_AGENT: Final = f"rotator/{__version__}"

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Transport:
    """Sends calls to one base URL."""

    def __init__(
        self,
        base_url: str,
        authorizer: Authorizer,
        clock: Clock,
        entropy: Entropy,
        calls: CallCounter,
        *,
        http: httpx.AsyncBaseTransport | None = None,
        watch: ClockWatch | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._authorizer, self._token = authorizer, authorizer.token
        self._clock, self._entropy, self._calls = clock, entropy, calls
        self._limiter = RateLimiter(clock)
        self._watch = watch or ClockWatch()
        self._client = httpx.AsyncClient(
            transport=http,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS
            ),
            follow_redirects=False,
            trust_env=True,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self, call: Call, *, check: Callable[[Answer], RotatorError | None] | None = None
    ) -> Answer:
        """Make the call and give its answer.

        `check` reads errors out of a success (GraphQL says 200 to a refused mutation).

        Raises:
            RotatorError: the class says what it means for the caller.
        """
        memory = self._calls.memory if _is_plain_read(call) else None
        question = _question(self._base, call) if memory is not None else None
        if memory is not None and (known := memory.recall(question, self._clock.now())):
            return known
        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            retry=retry_if_exception(lambda error: _repeatable(call, error)),
            sleep=self._clock.sleep,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                answer = await self._authorised(call, check)
                if memory is not None:
                    memory.keep(question, answer, self._clock.now())
                return answer
        raise AssertionError("tenacity gave up without an error")

    async def _authorised(
        self, call: Call, check: Callable[[Answer], RotatorError | None] | None
    ) -> Answer:
        """With rotator's token; once more where Fly refuses that and another one took its place:
        what was refused so did nothing."""
        await self._authorizer.prepare(call)
        while True:
            token = self._token.value
            try:
                answer = await self._once(call, token)
                error = check(answer) if check is not None else None
                if error is not None:
                    raise error
                return answer
            except TokenRefused:
                if call.authorization is not None or not await self._token.replaced(token):
                    raise

    async def _once(self, call: Call, token: Secret) -> Answer:
        await self._limiter.pass_through(call.action, call.of, call.rate)
        self._calls.add()
        timeout = httpx.Timeout(call.timeout_seconds, connect=CONNECT_SECONDS)
        headers = dict(call.headers)
        content: bytes | None = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.body).encode()
        sent_at = self._clock.now()
        try:
            # A total bound as well: httpx bounds each read, and a trickle never ends.
            async with asyncio.timeout(call.timeout_seconds + CONNECT_SECONDS):
                response = await self._client.request(
                    call.method,
                    # Whole, and without an empty query: httpx takes an address apart each time
                    # that it has to be put together.
                    f"{self._base}{call.path}",
                    params=dict(call.query) or None,
                    content=content,
                    headers={
                        **headers,
                        "Authorization": self._authorizer.header(call, token).reveal(),
                    },
                    timeout=timeout,
                )
        except _NEVER_SENT as error:
            raise Unavailable(f"could not {call.what}: {self._base} {_cause(error)}") from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise lost(call, f"could not {call.what}: {self._base} {_cause(error)}") from None
        self._watch.note(sent_at, self._clock.now(), response.headers.get("date"))
        return self._read(call, response)

    def _read(self, call: Call, response: httpx.Response) -> Answer:
        if not response.is_success:
            raise failure(call, response, self._clock.now())
        try:
            body = json.loads(response.content) if response.content else None
        except ValueError:
            raise lost(
                call,
                f"could not {call.what}: {self._base} answered with something that is not JSON",
                request_id(response),
            ) from None
        return Answer(response.status_code, body, request_id(response))

    def _pause(self, state: RetryCallState) -> float:
        """Full jitter over an exponential bound, never sooner than the other side wishes."""
        bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (state.attempt_number - 1))
        jittered = bound * (0.5 + self._entropy.below(1000) / 2000)
        error = state.outcome.exception() if state.outcome else None
        asked = error.after_seconds if isinstance(error, RetryLater) else None
        return jittered if asked is None else asked + jittered / 2


def _is_plain_read(call: Call) -> bool:
    """Whether it reads, with rotator's own token: to try another one is never remembered."""
    return call.effect is Effect.READ and call.authorization is None


def _question(base: str, call: Call) -> object:
    query = tuple(sorted(call.query.items()))
    return (base, call.method, call.path, query, json.dumps(call.body, sort_keys=True))


def _repeatable(call: Call, error: BaseException) -> bool:
    if isinstance(error, RetryLater) and (error.after_seconds or 0) > LONGEST_PAUSE_SECONDS:
        return False
    if isinstance(error, Unavailable):
        return True
    if isinstance(error, OutcomeUnknown):
        return call.effect is not Effect.CHANGE
    # A secrets version that the host has not heard of yet, a machine in transition.
    return isinstance(error, NotYet) and call.effect is Effect.IDEMPOTENT


def _cause(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return "did not take the connection in time"
        case httpx.ConnectError():
            return "can't be reached"
        case httpx.TimeoutException() | TimeoutError():
            return "did not answer in time"
        case httpx.InvalidURL():
            return "is not an address"
        case _:
            return "broke the connection off"
