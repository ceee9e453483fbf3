"""The one question that rotator asks of GitHub: which value a secret scanning alert is about.

`GET /repos/{owner}/{repo}/secret-scanning/alerts/{number}`, with a token that may read secret
scanning alerts (GitHub's "REST API endpoints for secret scanning").
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

import httpx

from rotator import __version__
from rotator.domain.errors import NeedsHuman, NotAllowed, NotFound, Refused, Unavailable
from rotator.domain.hook import GithubAlert
from rotator.domain.ports import Clock
from rotator.domain.secret import Secret
from rotator.fly.failures import wish

ANSWER_SECONDS: Final = 10.0
ANSWER_BYTES: Final = 256 * 1024
_VERSION: Final = "2022-11-28"
_MAY: Final = 'give ROTATOR_GITHUB_TOKEN a token with "Secret scanning alerts: read"'
_LIMITED: Final = frozenset({403, 429})


class GithubAlerts:
    """The engine's `AlertValues`."""

    def __init__(
        self,
        base_url: str,
        token: Secret,
        clock: Clock,
        *,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base, self._token, self._clock, self._http = base_url, token, clock, http

    async def value(self, alert: GithubAlert) -> Secret:
        """Ask for it. Redirects are not followed: they would take the token along."""
        url = f"{self._base}/repos/{alert.repository}/secret-scanning/alerts/{alert.number}"
        headers = {
            "Authorization": f"Bearer {self._token.reveal()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
            "User-Agent": f"rotator/{__version__}",
        }
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                httpx.AsyncClient(
                    transport=self._http, timeout=ANSWER_SECONDS, follow_redirects=False
                ) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                body = await _bounded(answer)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"GitHub did not answer ({type(error).__name__})") from None
        refusal = self._refusal(answer, alert)
        if refusal is not None:
            raise refusal
        return _secret(body, alert)

    def _refusal(self, answer: httpx.Response, alert: GithubAlert) -> Exception | None:
        code = answer.status_code
        limited = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in (
            answer.headers
        )
        if code in _LIMITED and (limited or code == 429):
            seconds = wish(answer, self._clock.now())
            return Unavailable("GitHub limits how often it is asked", after_seconds=seconds)
        if code in (401, 403):
            return NotAllowed(f"GitHub does not tell of alert {alert}", next_step=_MAY)
        if code in (404, 410):
            return NotFound(
                f"GitHub knows of no alert {alert}, or the token may not see it", next_step=_MAY
            )
        if code >= 500:
            return Unavailable(f"GitHub answered {code}")
        return None if code == 200 else Refused(f"GitHub answered {code} about alert {alert}")


async def _bounded(answer: httpx.Response) -> bytes:
    found = bytearray()
    async for part in answer.aiter_bytes():
        found += part
        if len(found) > ANSWER_BYTES:
            raise NeedsHuman("GitHub answered with more than an alert is")
    return bytes(found)


def _secret(body: bytes, alert: GithubAlert) -> Secret:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    value = data.get("secret") if isinstance(data, dict) else None
    if not isinstance(value, str) or not value:
        raise Refused(f"GitHub tells no value of alert {alert}", next_step=_MAY)
    return Secret(value)
