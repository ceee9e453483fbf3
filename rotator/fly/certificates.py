"""Certificates by the Machines API. Fly renews them by itself; what fails is DNS, so watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rotator.fly.call import Call
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.paths import app_path, certificate_path
from rotator.fly.transport import Transport


@dataclass(frozen=True)
class Certificate:
    """A hostname with the state of its certificates. `expires_at` is the earliest expiry."""

    hostname: str
    status: str
    configured: bool
    expires_at: datetime | None = None
    problems: tuple[str, ...] = ()


class _Summary(FlyModel):
    hostname: str
    status: str = ""
    configured: bool = False


class _Page(FlyModel):
    certificates: tuple[_Summary, ...]
    next_cursor: str | None = None


class _Part(FlyModel):
    expires_at: Instant | None = None


class _Chain(FlyModel):
    expires_at: Instant | None = None
    issued: tuple[_Part, ...] | None = None


class _Problem(FlyModel):
    code: str = ""
    message: str = ""


class _Detail(_Summary):
    certificates: tuple[_Chain, ...] | None = None
    validation_errors: tuple[_Problem, ...] | None = None

    def ends(self) -> list[datetime]:
        """Every expiry in it: a hostname has an RSA and an ECDSA certificate."""
        chains = self.certificates or ()
        ends = [chain.expires_at for chain in chains]
        ends += [part.expires_at for chain in chains for part in chain.issued or ()]
        return [end for end in ends if end is not None]


class CertificatesApi:
    """The certificates of apps."""

    def __init__(self, machines: Transport) -> None:
        self._machines = machines

    async def certificates(self, app: str) -> Sequence[Certificate]:
        """All hostnames of an app, without expiries."""
        found: list[Certificate] = []
        cursor = ""
        while True:
            call = Call(
                what=f"list the certificates of {app}",
                method="GET",
                path=app_path(app, "certificates"),
                action=APP_ACTIONS,
                of=app,
                query={"limit": 500} | ({"cursor": cursor} if cursor else {}),
            )
            page = parse(_Page, call, await self._machines.send(call))
            found += [Certificate(c.hostname, c.status, c.configured) for c in page.certificates]
            cursor = page.next_cursor or ""
            if not cursor:
                return found

    async def certificate(self, app: str, hostname: str) -> Certificate:
        """One hostname, with its earliest expiry and what is wrong with its validation."""
        call = Call(
            what=f"show the certificate of {hostname}",
            method="GET",
            path=certificate_path(app, hostname),
            action=APP_ACTIONS,
            of=app,
        )
        detail = parse(_Detail, call, await self._machines.send(call))
        problems = tuple(
            f"{problem.code}: {problem.message}" for problem in detail.validation_errors or ()
        )
        return Certificate(
            detail.hostname,
            detail.status,
            detail.configured,
            min(detail.ends(), default=None),
            problems,
        )
