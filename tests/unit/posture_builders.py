"""Organisations with what a test of the posture cares about; the rest is plain and good."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

from rotator.domain.posture.finding import Finding
from rotator.domain.posture.organization import (
    DelegatedToken,
    HeldPeer,
    HeldToken,
    Holdings,
    Member,
    OrganizationSnapshot,
    Tracking,
)
from rotator.domain.posture.policy import PosturePolicy
from rotator.system import SystemEntropy
from tests.unit.builders import NOW

_numbers = itertools.count(1)
ANN, JO = "ann@example.com", "jo@example.com"
POLICY = PosturePolicy()


def days(count: float) -> timedelta:
    """A span."""
    return timedelta(days=count)


def a_member(email: str = ANN) -> Member:
    """Somebody who belongs to the organisation."""
    return Member(f"user:{email}", email, admin=False, joined_at=NOW - days(500))


def a_token(
    name: str = "ci",
    *,
    app: str | None = "web",
    age: float = 10,
    life: float = 60,
    maker: str = ANN,
    revoked: bool = False,
    ref: str = "",
) -> HeldToken:
    """A young deploy token of `web` with an end."""
    made = NOW - days(age)
    return HeldToken(
        ref or f"id{next(_numbers)}",
        name,
        "deploy" if app else "deploy_organization",
        app,
        made,
        made + days(life),
        NOW if revoked else None,
        f"user:{maker}" if maker else "",
        maker,
    )


def tracked(
    token: HeldToken, credential: str = "ci", kind: str = "deploy-token", **more: object
) -> dict[str, Tracking]:
    """That a credential tracks it."""
    return {token.ref: Tracking(credential, kind, **more)}  # type: ignore[arg-type]


def an_organization(
    *tokens: HeldToken,
    peers: Sequence[HeldPeer] = (),
    members: Sequence[Member] | None = (a_member(),),
    delegated: Sequence[DelegatedToken] = (),
    by_token: dict[str, Tracking] | None = None,
    by_peer: dict[str, Tracking] | None = None,
) -> OrganizationSnapshot:
    """What `acme` holds."""
    holdings = Holdings(
        "acme",
        "org-id",
        tuple(tokens),
        tuple(peers),
        tuple(delegated),
        None if members is None else tuple(members),
    )
    return OrganizationSnapshot(holdings, by_token or {}, by_peer or {})


def marked(name: str, *, age: float = 10) -> str:
    """A name that ends in a ULID of some days ago, as rotator's and flyctl's do."""
    return f"{name}-{ulid(NOW - days(age))}"


def ulid(at: datetime) -> str:
    """A ULID of that time."""
    return SystemEntropy().ulid(at)


def ids(findings: Sequence[Finding]) -> list[str]:
    """The rules that found something, each once."""
    return sorted({finding.rule.id for finding in findings})


def of_rule(findings: Sequence[Finding], rule_id: str) -> Finding:
    """The one finding of this rule."""
    (found,) = [each for each in findings if each.rule.id == rule_id]
    return found
