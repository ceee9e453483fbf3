"""A hostname's certificates as both of Fly's APIs and a handshake tell of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.posture.handshake import Handshake, covers

SAME_END: Final = timedelta(hours=1)
"""Ends that differ by less are told in other words, not other certificates."""
FLY_LIFE: Final = timedelta(days=90)
"""How long a certificate of Let's Encrypt lives, unless one that is served says otherwise."""
LAG: Final = timedelta(days=1)
"""How long a renewed certificate may need to be served everywhere, or listed by both APIs."""
ISSUING: Final = timedelta(hours=1)
"""A hostname that was added less long ago may still be waiting for its first certificate."""


class Api(StrEnum):
    """Where something was read."""

    MACHINES = "Machines API"
    GRAPHQL = "GraphQL"


class Source(StrEnum):
    """Who renews a certificate: Fly, or whoever imported it."""

    FLY = "fly"
    CUSTOM = "custom"


@dataclass(frozen=True)
class Issued:
    """One certificate of a hostname; Fly has two of its own, for RSA and for ECDSA keys.

    `status` is Fly's: active, pending_ownership, pending_validation, or empty in GraphQL.
    """

    source: Source
    expires_at: datetime
    key_type: str = ""
    issuer: str = ""
    status: str = ""


@dataclass(frozen=True)
class Problem:
    """What Fly finds wrong with a hostname. `code` is one of the GraphQL schema's
    CertificateValidationErrorCodeEnum, or a newer one."""

    code: str
    message: str
    remediation: str = ""


@dataclass(frozen=True)
class Requirements:
    """The DNS records that Fly wants, as the Machines API tells."""

    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    cname: str = ""
    challenge_name: str = ""
    challenge_target: str = ""
    ownership_name: str = ""
    ownership_value: str = ""


@dataclass(frozen=True)
class Validation:
    """What Fly has found of the DNS. None where an API does not tell."""

    dns: bool | None = None
    alpn: bool | None = None
    http: bool | None = None
    challenge: bool | None = None
    ownership: bool | None = None


@dataclass(frozen=True)
class ApiView:
    """What one API says of a hostname."""

    configured: bool
    status: str = ""
    issued: tuple[Issued, ...] = ()
    validation: Validation = Validation()
    requirements: Requirements = Requirements()
    problems: tuple[Problem, ...] = ()
    created_at: datetime | None = None
    requested: bool = True
    apex: bool | None = None
    rate_limited_until: datetime | None = None


@dataclass(frozen=True)
class CertificateSnapshot:
    """A hostname of an app. `unread` are APIs that could not be asked: what they would have said
    is not known, and not that they don't have it."""

    organization: str
    app: str
    hostname: str
    machines: ApiView | None = None
    graphql: ApiView | None = None
    unread: frozenset[Api] = frozenset()
    handshake: Handshake | None = None

    @property
    def subject(self) -> str:
        """Its name in findings and events."""
        return f"certificate:{self.hostname}"

    @property
    def views(self) -> tuple[ApiView, ...]:
        """What was read, the Machines API first: it tells more."""
        return tuple(view for view in (self.machines, self.graphql) if view is not None)

    @property
    def issued(self) -> tuple[Issued, ...]:
        """The certificates that there are; of the API that tells more of them."""
        return next((view.issued for view in self.views if view.issued), ())

    @property
    def serving(self) -> tuple[Issued, ...]:
        """Those that Fly serves: imported ones go first once they are active, its own are the
        fallback (Fly's documentation of the certificates resource)."""
        custom = tuple(
            each
            for each in self.issued
            if each.source is Source.CUSTOM and each.status in ("", "active")
        )
        return custom or tuple(each for each in self.issued if each.source is Source.FLY)

    @property
    def ends_at(self) -> datetime | None:
        """When the first of those that are served ends."""
        return min((each.expires_at for each in self.serving), default=None)

    @property
    def source(self) -> Source:
        """Who has to renew what is served."""
        return self.serving[0].source if self.serving else Source.FLY

    @property
    def configured(self) -> bool:
        """Whether Fly finds nothing wrong with its DNS. It may be so before anything is issued."""
        return all(view.configured for view in self.views)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the APIs find wrong, once for each code."""
        found: dict[str, Problem] = {}
        for view in self.views:
            for problem in view.problems:
                found.setdefault(problem.code or problem.message, problem)
        return tuple(found.values())

    @property
    def requirements(self) -> Requirements:
        """The records that Fly wants."""
        return self.machines.requirements if self.machines is not None else Requirements()

    @property
    def created_at(self) -> datetime | None:
        """When the hostname was added, as far as an API tells."""
        return next((view.created_at for view in self.views if view.created_at), None)

    @property
    def requested(self) -> bool:
        """Whether Fly is to issue one by itself."""
        return all(view.requested for view in self.views)

    @property
    def rate_limited_until(self) -> datetime | None:
        """Until when the certificate authority refuses to issue."""
        times = [view.rate_limited_until for view in self.views if view.rate_limited_until]
        return max(times, default=None)


class CertificateState(StrEnum):
    """How a hostname stands, the worst that holds."""

    EXPIRED = "expired"
    NOT_ISSUED = "not-issued"
    EXPIRING = "expiring"
    BADLY_SERVED = "badly-served"
    MISCONFIGURED = "misconfigured"
    UNREAD = "unread"
    GOOD = "good"


def state_of(snapshot: CertificateSnapshot, now: datetime, days: int) -> CertificateState:
    """The state for metrics and lists; `days` is how near its end one is expiring."""
    if not snapshot.views:
        return CertificateState.UNREAD
    ends_at = snapshot.ends_at
    if ends_at is None:
        return CertificateState.NOT_ISSUED
    if ends_at <= now:
        return CertificateState.EXPIRED
    if ends_at - now <= timedelta(days=days):
        return CertificateState.EXPIRING
    if is_badly_served(snapshot):
        return CertificateState.BADLY_SERVED
    sound = snapshot.configured and not snapshot.problems
    return CertificateState.GOOD if sound else CertificateState.MISCONFIGURED


def is_badly_served(snapshot: CertificateSnapshot) -> bool:
    """Whether clients refuse what a handshake showed: another name, or no trusted chain."""
    shaken = snapshot.handshake
    if shaken is None or shaken.served is None:
        return False
    return bool(shaken.chain_problem) or not covers(shaken.served.names, snapshot.hostname)


def missing_records(snapshot: CertificateSnapshot) -> tuple[str, ...]:
    """The DNS records that Fly does not find, each as it has to be set."""
    return tuple(dict.fromkeys(_missing(snapshot)))


def _missing(snapshot: CertificateSnapshot) -> Iterator[str]:
    wanted, host = snapshot.requirements, snapshot.hostname
    if _says_no(snapshot, "dns"):
        yield from _pointing(snapshot)
    if _needs_challenge(snapshot) and wanted.challenge_name:
        yield f"{wanted.challenge_name} CNAME {wanted.challenge_target}"
    if _says_no(snapshot, "ownership") and _needs_ownership(snapshot) and wanted.ownership_name:
        yield f'{wanted.ownership_name} TXT "{wanted.ownership_value}"'
    if not wanted.a and not wanted.cname and _says_no(snapshot, "dns"):
        yield f"{host} (`fly certs setup {host} --app {snapshot.app}` shows its records)"


def _pointing(snapshot: CertificateSnapshot) -> Iterator[str]:
    """A and AAAA for the apex of a domain, which can't have a CNAME; a CNAME else."""
    wanted, host = snapshot.requirements, snapshot.hostname
    apex = any(view.apex for view in snapshot.views) or host.count(".") == 1
    if wanted.cname and not apex:
        yield f"{host} CNAME {wanted.cname}"
        return
    there = set(snapshot.handshake.addresses) if snapshot.handshake is not None else set()
    yield from (f"{host} A {each}" for each in wanted.a if each not in there)
    yield from (f"{host} AAAA {each}" for each in wanted.aaaa if each not in there)


def _says_no(snapshot: CertificateSnapshot, name: str) -> bool:
    told = [getattr(view.validation, name) for view in snapshot.views]
    return False in told and True not in told


def _needs_challenge(snapshot: CertificateSnapshot) -> bool:
    """A wildcard is validated by its challenge record alone; for others ALPN or HTTP will do."""
    if not _says_no(snapshot, "challenge"):
        return False
    return snapshot.hostname.startswith("*.") or (
        _says_no(snapshot, "alpn") and _says_no(snapshot, "http") and not _says_no(snapshot, "dns")
    )


def _needs_ownership(snapshot: CertificateSnapshot) -> bool:
    return any(each.status == "pending_ownership" for each in snapshot.issued)


def disagreements(snapshot: CertificateSnapshot, now: datetime) -> tuple[str, ...]:
    """What the two APIs say differently of a hostname, a sentence each. GraphQL does not list
    certificates that have expired unless it is asked for them."""
    machines, graphql = snapshot.machines, snapshot.graphql
    if snapshot.unread:
        return ()
    if machines is None or graphql is None:
        there, absent = Api.MACHINES, Api.GRAPHQL
        if machines is None:
            there, absent = absent, there
        return (f"{_the(there)} has it, and {_the(absent)} has not",)
    return tuple(_differences(machines, graphql, now))


def _the(api: Api) -> str:
    return f"the {api}" if api is Api.MACHINES else str(api)


def _differences(machines: ApiView, graphql: ApiView, now: datetime) -> Iterator[str]:
    if machines.configured is not graphql.configured:
        good, bad = Api.MACHINES, Api.GRAPHQL
        if graphql.configured:
            good, bad = bad, good
        yield f"{_the(good)} says that its DNS is right, {_the(bad)} that it is not"
    first, second = _first_end(machines), _first_end(graphql)
    if first is not None and second is not None:
        if abs(first - second) > SAME_END:
            yield f"the Machines API says that it ends {_day(first)}, GraphQL {_day(second)}"
    elif first is not None and first > now and not _only_imported(machines):
        yield "the Machines API has an issued certificate, GraphQL has none"
    elif second is not None and second > now:
        yield "GraphQL has an issued certificate, the Machines API has none"


def _only_imported(view: ApiView) -> bool:
    return all(each.source is Source.CUSTOM for each in view.issued)


def _first_end(view: ApiView) -> datetime | None:
    """Of Fly's own where there are any: GraphQL need not list imported ones."""
    own = [each.expires_at for each in view.issued if each.source is Source.FLY]
    return min(own or [each.expires_at for each in view.issued], default=None)


def is_as_issued(snapshot: CertificateSnapshot) -> bool | None:
    """Whether the certificate that is served is one that Fly says there is; None where there is
    nothing to compare. Fly tells no fingerprints, so ends and kinds of keys have to do."""
    shaken = snapshot.handshake
    if shaken is None or shaken.served is None or not snapshot.issued:
        return None
    served = shaken.served
    return covers(served.names, snapshot.hostname) and any(
        abs(each.expires_at - served.not_after) <= SAME_END
        and (not each.key_type or each.key_type == served.key_type)
        for each in snapshot.issued
    )


def is_shaken(snapshot: CertificateSnapshot) -> bool:
    """Whether a handshake has shown what is served."""
    return snapshot.handshake is not None and snapshot.handshake.served is not None


def just_renewed(snapshot: CertificateSnapshot, now: datetime) -> bool:
    """Whether one of Fly's own certificates is so new that the one before may still show. It is
    known by its end, and by how long such certificates live."""
    shaken, life = snapshot.handshake, FLY_LIFE
    if shaken is not None and shaken.served is not None:
        life = min(life, shaken.served.life)
    own = [each.expires_at for each in snapshot.issued if each.source is Source.FLY]
    return any(end - life > now - LAG for end in own)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
