"""The release that a rollout makes, so that `fly releases` and `fly secrets list` tell the truth.

It is a courtesy: where Fly or the token's rights refuse it, the rollout goes on without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rotator.domain.errors import ClaimLost, OutcomeUnknown, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import Machine, Release
from rotator.domain.rotation import Rollout
from rotator.engine.rollouts.run import RolloutRun


async def released(run: RolloutRun) -> RolloutRun:
    """Make the release, or find the one that an earlier try made."""
    rollout = run.rollout
    if not rollout.policy.release or rollout.release_id is not None:
        return run
    again = rollout.release_asked_at is not None
    if not again:
        rollout = await _saved(
            run, replace(rollout, release_asked_at=run.now), Action.RELEASE_CREATING, Outcome.INTENT
        )
        run = replace(run, rollout=rollout)
    try:
        release = await _made(run, again=again)
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
    return replace(run, rollout=rollout)


async def _made(run: RolloutRun, *, again: bool) -> Release:
    rollout = run.rollout
    assert rollout.release_asked_at is not None
    strategy, asked_at = rollout.policy.strategy.value, rollout.release_asked_at
    begin = run.parts.releases.begin
    try:
        return await begin(rollout.app, strategy=strategy, asked_at=asked_at, again=again)
    except OutcomeUnknown:
        return await begin(rollout.app, strategy=strategy, asked_at=asked_at, again=True)


async def release_ended(run: RolloutRun, *, succeeded: bool) -> None:
    """Say how it went."""
    rollout = run.rollout
    if rollout.release_id is None:
        return
    outcome, error = Outcome.OK if succeeded else Outcome.FAILED, ""
    try:
        await run.parts.releases.end(rollout.app, rollout.release_id, succeeded=succeeded)
    except ClaimLost:
        raise
    except RotatorError as problem:
        outcome, error = Outcome.UNKNOWN, problem.message
    await run.tell(Action.RELEASE_ENDED, outcome, release=str(rollout.release_version), error=error)


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
