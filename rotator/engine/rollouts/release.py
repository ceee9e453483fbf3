"""The release that a rollout makes, so that `fly releases` and `fly secrets list` tell the truth.

It is a courtesy: where Fly or the token's rights refuse it, the rollout goes on without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from rotator.domain.errors import ClaimLost, OutcomeUnknown, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import Machine, Release, ReleaseStatus
from rotator.domain.rotation import Rollout
from rotator.engine.rollouts.run import RolloutRun


async def released(run: RolloutRun) -> RolloutRun:
    """Make the release, or find the one that an earlier try made, and set it running."""
    rollout = run.rollout
    if not rollout.policy.release or rollout.release_id is not None:
        return run
    asked_at = rollout.release_asked_at
    if asked_at is None:
        rollout = await _saved(
            run, replace(rollout, release_asked_at=run.now), Action.RELEASE_CREATING, Outcome.INTENT
        )
        run = replace(run, rollout=rollout)
    try:
        release = await _made(run, asked_at)
    except ClaimLost:
        raise
    except RotatorError as error:
        await run.tell(Action.RELEASE_CREATED, Outcome.FAILED, error=error.message)
        return run
    rollout = await _saved(
        run,
        replace(rollout, release_id=release.id, release_version=release.version),
        Action.RELEASE_CREATED,
        Outcome.OK,
        release=str(release.version),
    )
    run = replace(run, rollout=rollout)
    await _told(run, ReleaseStatus.RUNNING)
    return run


async def _made(run: RolloutRun, asked_at: datetime | None) -> Release:
    """`asked_at` is when an earlier try asked for it, None on the first."""
    rollout, releases = run.rollout, run.parts.releases
    if asked_at is not None:
        left = await releases.unbegun(rollout.app, since=asked_at)
        if left is not None:
            return left
    try:
        return await releases.create(rollout.app, strategy=rollout.policy.strategy.value)
    except OutcomeUnknown:
        left = await releases.unbegun(rollout.app, since=rollout.release_asked_at or run.now)
        if left is None:
            raise
        return left


async def release_ended(run: RolloutRun, *, succeeded: bool) -> None:
    """Say how it went."""
    if run.rollout.release_id is None:
        return
    error = await _told(run, ReleaseStatus.COMPLETE if succeeded else ReleaseStatus.FAILED)
    outcome = Outcome.OK if succeeded else Outcome.FAILED
    await run.tell(
        Action.RELEASE_ENDED,
        Outcome.UNKNOWN if error else outcome,
        release=str(run.rollout.release_version),
        error=error,
    )


async def _told(run: RolloutRun, status: ReleaseStatus) -> str:
    """Set the release's status; gives what went wrong, "" where nothing did."""
    assert run.rollout.release_id is not None
    try:
        await run.parts.releases.set_status(run.rollout.app, run.rollout.release_id, status)
    except ClaimLost:
        raise
    except RotatorError as problem:
        return problem.message
    return ""


def overtaken_by(run: RolloutRun, machines: Iterable[Machine]) -> int | None:
    """The version of a release that somebody else made while this rollout ran, or None."""
    ours = run.rollout.release_version
    newest = max((machine.release_version for machine in machines), default=0)
    return newest if ours is not None and newest > ours else None


async def _saved(
    run: RolloutRun, rollout: Rollout, action: Action, outcome: Outcome, **detail: str
) -> Rollout:
    async with run.parts.store.unit() as unit:
        await unit.save_rollout(rollout, run.lock)
        await unit.append(replace(run, rollout=rollout).event(action, outcome, detail=detail))
    return rollout
