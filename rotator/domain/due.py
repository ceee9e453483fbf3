"""Why is it due? An ordered chain of small predicates, each giving a reason or passing on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.drift import TargetWatch
from rotator.domain.policy import Missed, Policy
from rotator.domain.reasons import Reason, ReasonCode, reason
from rotator.domain.rotation import Rotation
from rotator.domain.schedule import expiry_deadline, in_window, next_due, next_opening

LATE: Final = timedelta(hours=1)
"""A rotation that could have started this long ago counts as missed."""


@dataclass(frozen=True)
class DueContext:
    """What the predicates look at."""

    credential: Credential
    current: Version | None
    active: Rotation | None
    now: datetime
    watches: Sequence[TargetWatch] = ()

    def because(self, code: ReasonCode) -> Reason:
        """The reason of this code for this credential."""
        return reason(code, self.credential.name)


@dataclass(frozen=True)
class Decision:
    """Whether a rotation may start now, why, and when to look again (None: not by itself)."""

    due: bool
    reason: Reason
    until: datetime | None = None


Verdict = Decision | None
Predicate = Callable[[DueContext], Verdict]


def unmanaged(ctx: DueContext) -> Verdict:
    """The manifest no longer names it."""
    if ctx.credential.status is CredentialStatus.MANAGED:
        return None
    return Decision(False, ctx.because(ReasonCode.UNMANAGED))


def rotation_active(ctx: DueContext) -> Verdict:
    """One rotation of a credential at a time (P3)."""
    if ctx.active is None:
        return None
    return Decision(False, ctx.because(ReasonCode.ROTATION_ACTIVE), ctx.credential.due_at)


def contested(ctx: DueContext) -> Verdict:
    """Two writers undo each other: rotator does not write before a person has said so."""
    if not any(watch.contested_at is not None for watch in ctx.watches):
        return None
    return Decision(False, ctx.because(ReasonCode.CONTESTED))


def no_schedule(ctx: DueContext) -> Verdict:
    """No due time: rotated by hand only."""
    if ctx.credential.due_at is not None:
        return None
    return Decision(False, ctx.because(ReasonCode.NO_SCHEDULE))


def not_yet(ctx: DueContext) -> Verdict:
    """Its time has not come."""
    due_at = ctx.credential.due_at
    if due_at is None or due_at <= ctx.now:
        return None
    return Decision(False, ctx.because(ReasonCode.NOT_YET), due_at)


def deadline_of(policy: Policy, version: Version | None) -> datetime | None:
    """When this value has to be replaced at the latest because it expires; None if it does not."""
    expires_at = version.issued.expires_at if version is not None and version.issued else None
    if version is None or expires_at is None:
        return None
    return expiry_deadline(policy, since=version.since, expires_at=expires_at)


def expiring(ctx: DueContext) -> Verdict:
    """It expires before long: whatever windows, blackouts and missed times say, it may start."""
    if ctx.credential.spec.observed or not _last_chance(ctx):
        return None
    return Decision(True, ctx.because(ReasonCode.EXPIRING))


def _last_chance(ctx: DueContext) -> bool:
    deadline = deadline_of(ctx.credential.spec.policy, ctx.current)
    return deadline is not None and deadline <= ctx.now


def closed(ctx: DueContext) -> Verdict:
    """Outside its window or in a blackout: look again when it opens."""
    policy = ctx.credential.spec.policy
    if in_window(policy, ctx.now):
        return None
    if _missed(ctx) and policy.missed is Missed.CATCH_UP and not _blacked_out(ctx):
        return None
    code = ReasonCode.BLACKOUT if _blacked_out(ctx) else ReasonCode.OUTSIDE_WINDOW
    return Decision(False, ctx.because(code), next_opening(policy, ctx.now))


def missed(ctx: DueContext) -> Verdict:
    """Its time passed while nobody was there; the policy says what then."""
    policy = ctx.credential.spec.policy
    if not _missed(ctx) or policy.missed is Missed.CATCH_UP:
        return None
    if policy.missed is Missed.ALERT:
        return Decision(False, ctx.because(ReasonCode.MISSED_ALERT))
    if policy.window is None:
        return None
    due_at = ctx.credential.due_at or ctx.now
    if due_at + policy.window.span > ctx.now:
        return None
    return (
        None
        if in_window(policy, ctx.now)
        else Decision(False, ctx.because(ReasonCode.MISSED_WAITS), next_opening(policy, ctx.now))
    )


def observed(ctx: DueContext) -> Verdict:
    """Due, but rotator must not act: told once, then again when it would be due the next time."""
    credential = ctx.credential
    if not credential.spec.observed:
        return None
    policy = credential.spec.policy
    following = next_due(policy, anchor=ctx.now, seed=credential.id)
    return Decision(False, ctx.because(ReasonCode.OBSERVED), following)


def _missed(ctx: DueContext) -> bool:
    """Whether it was due long ago by a schedule. A value of unknown age was never on one."""
    due_at = ctx.credential.due_at
    if due_at is None or ctx.current is None or ctx.current.promoted_at is None:
        return False
    return ctx.now - due_at > LATE


def _blacked_out(ctx: DueContext) -> bool:
    return any(b.start <= ctx.now < b.end for b in ctx.credential.spec.policy.blackouts)


CHAIN: Final[tuple[Predicate, ...]] = (
    unmanaged,
    rotation_active,
    contested,
    no_schedule,
    not_yet,
    expiring,
    missed,
    closed,
    observed,
)
"""Asked in this order; the first answer counts."""


def decide(
    credential: Credential,
    current: Version | None,
    active: Rotation | None,
    now: datetime,
    watches: Sequence[TargetWatch] = (),
) -> Decision:
    """Whether a rotation of this credential may start now, and why. `watches` are of its targets,
    as far as the manifest still names them."""
    ctx = DueContext(credential, current, active, now, watches)
    for predicate in CHAIN:
        verdict = predicate(ctx)
        if verdict is not None:
            return verdict
    return Decision(True, ctx.because(_why(ctx)))


def why_due(credential: Credential, current: Version | None, now: datetime) -> Reason:
    """Which of the reasons to rotate holds, for one that is due."""
    ctx = DueContext(credential, current, None, now)
    return ctx.because(_why(ctx))


def _why(ctx: DueContext) -> ReasonCode:
    """Which of the reasons to rotate holds, the most telling first."""
    current, policy = ctx.current, ctx.credential.spec.policy
    if current is None:
        return ReasonCode.NEVER_ROTATED
    born = current.promoted_at or (current.issued.created_at if current.issued else None)
    if born is None:
        return ReasonCode.AGE_UNKNOWN
    if _last_chance(ctx):
        return ReasonCode.EXPIRING
    if policy.max_age is not None and ctx.now - born >= policy.max_age:
        return ReasonCode.MAX_AGE
    if any(watch.drifted for watch in ctx.watches):
        return ReasonCode.DRIFTED
    if policy.every is not None and ctx.now - born < policy.every:
        return ReasonCode.VERSION_GONE
    return ReasonCode.SCHEDULE
