"""`[[hooks]]` of the manifest, and the one question that is asked of GitHub."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from rotator.domain.errors import NotAllowed, NotFound, Refused, RotatorError, Unavailable
from rotator.domain.hook import GithubAlert, HookFormat, HookSpec, Respond, Untracked
from rotator.domain.secret import Secret
from rotator.github import ANSWER_BYTES, GithubAlerts
from rotator.manifest import ManifestError, parse_manifest
from rotator.system import SystemClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALERT = GithubAlert("acme/web", 42)


def hooks(text: str) -> tuple[HookSpec, ...]:
    return parse_manifest(f'organization = "acme"\n{text}', "rotator.toml", {}, {}, NOW).hooks


def test_a_hook_has_defaults_and_says_where_its_secrets_are() -> None:
    (github, mine) = hooks(
        """
        [[hooks]]
        name = "github"
        format = "github"
        [[hooks]]
        name = "my-scanner"
        format = "hex"
        header = "X-Signature"
        timestamp_header = "X-Time"
        secrets_env = "SCANNER_SECRETS"
        respond = "approve"
        untracked = "revoke"
        approve_within = "12h"
        tolerance = "1m"
        """
    )
    assert github == HookSpec(
        "github", HookFormat.GITHUB, "x-hub-signature-256", "ROTATOR_HOOK_GITHUB_SECRETS"
    )
    assert mine == HookSpec(
        "my-scanner",
        HookFormat.HEX,
        "x-signature",
        "SCANNER_SECRETS",
        "x-time",
        Respond.APPROVE,
        Untracked.REVOKE,
        timedelta(hours=12),
        timedelta(minutes=1),
    )
    assert hooks("") == ()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('format = "github"', ":2: hooks[0].name: is missing"),
        ('name = "github"', "hooks[0].format: is missing"),
        ('name = "A"\nformat = "github"', ":3: hooks[0].name: a hook's name has"),
        ('name = "a/b"\nformat = "github"', "hooks[0].name: a hook's name has"),
        ('name = "a"\nformat = "md5"', "hooks[0].format: 'md5' is none of github, hex"),
        ('name = "a"\nformat = "hex"', "hooks[0].header: is missing: the format hex"),
        ('name = "a"\nformat = "hex"\nheader = "a b"', "the name of a header is wanted"),
        ('name = "a"\nformat = "github"\nheader = "x-sig"', "signs in x-hub-signature-256"),
        ('name = "a"\nformat = "standard-webhooks"\ntimestamp_header = "t"', "has its own"),
        ('name = "a"\nformat = "fly"\nsecrets_env = "hunter2"', "never a secret itself"),
        ('name = "a"\nformat = "fly"\nrespond = "ignore"', "none of rotate, approve, tell"),
        ('name = "a"\nformat = "fly"\napprove_within = "90d"', "is not between 1s and 30d"),
        ('name = "a"\nformat = "fly"\nsecret = "x"', "hooks[0].secret: is not known here"),
        ('name = "a"\nformat = "fly"\n[[hooks]]\nname = "a"\nformat = "fly"', "two hooks 'a'"),
    ],
)
def test_what_is_wrong_with_a_hook_is_told_with_its_line(lines: str, told: str) -> None:
    with pytest.raises(ManifestError) as raised:
        hooks(f"[[hooks]]\n{lines}\n")
    assert told in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def asked(answer: httpx.Response | Exception) -> Secret:
    def serve(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://github.example/repos/acme/web/secret-scanning/alerts/42"
        assert request.headers["Authorization"] == "Bearer of-github"
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx.MockTransport(serve)
    alerts = GithubAlerts("https://github.example", Secret("of-github"), SystemClock(), http=http)
    return await alerts.value(ALERT)


async def test_github_is_asked_for_the_value_and_its_refusals_are_understood() -> None:
    assert (await asked(httpx.Response(200, json={"secret": "it"}))).reveal() == "it"
    cases: tuple[tuple[httpx.Response | Exception, type[RotatorError]], ...] = (
        (httpx.Response(401), NotAllowed),
        (httpx.Response(403), NotAllowed),
        (httpx.Response(403, headers={"x-ratelimit-remaining": "0"}), Unavailable),
        (httpx.Response(429, headers={"retry-after": "7"}), Unavailable),
        (httpx.Response(404), NotFound),
        (httpx.Response(302, headers={"location": "https://elsewhere.example"}), Refused),
        (httpx.Response(502), Unavailable),
        (httpx.Response(200, text="<html>"), Refused),
        (httpx.Response(200, json={"secret": None}), Refused),
        (httpx.Response(200, content=b" " * (ANSWER_BYTES + 1)), RotatorError),
        (httpx.ConnectError("no"), Unavailable),
        (httpx.ReadTimeout("no"), Unavailable),
    )
    for answer, kind in cases:
        with pytest.raises(kind) as raised:
            await asked(answer)
        assert "of-github" not in str(raised.value)
    limited = httpx.Response(429, headers={"retry-after": "7"})
    with pytest.raises(Unavailable) as raised:
        await asked(limited)
    assert isinstance(raised.value, Unavailable)
    assert raised.value.after_seconds == 7
