"""The last two steps: promote the new version, and after the overlap retire the old one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.credential import Version, VersionState
from rotator.domain.due import deadline_of
from rotator.domain.errors import Busy, NeedsHuman
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Unit
from rotator.domain.rotation import Mode, RotationState, StepName
from rotator.domain.schedule import next_due
from rotator.engine.issue import settle_mint
from rotator.engine.journal import rotation_event
from rotator.engine.step import Result, StepContext, version_of

REVOKED = "revoked"


async def promote(ctx: StepContext) -> Result:
    """One transaction: the new version is current, the old one retiring until the overlap ends."""
    now = ctx.parts.clock.now()
    overlap = (
        ctx.credential.spec.policy.overlap if ctx.rotation.mode is Mode.NORMAL else timedelta(0)
    )

    async def commit(unit: Unit) -> None:
        new = await version_of(unit, ctx.rotation.new_version_id)
        if new is None:
            raise NeedsHuman(f"rotation {ctx.rotation.id} has no new version")
        for version in await unit.versions(ctx.credential.id):
            await _step_down(ctx, unit, version, now, overlap)
        promoted = replace(new, state=VersionState.CURRENT, promoted_at=now)
        await unit.save_version(promoted)
        policy = ctx.credential.spec.policy
        seed, deadline = ctx.credential.id + new.id, deadline_of(policy, promoted)
        due_at = next_due(policy, anchor=now, seed=seed, deadline=deadline)
        await unit.save_credential(replace(ctx.credential, due_at=due_at, updated_at=now))
        retire_at = now + overlap if await version_of(unit, ctx.rotation.old_version_id) else now
        await _hold_retirement(ctx, unit, retire_at)

    event = rotation_event(
        Action.VERSION_PROMOTED,
        Outcome.OK,
        credential=ctx.credential,
        rotation=ctx.rotation,
        actor=ctx.parts.actor,
        at=now,
        detail={"version": ctx.rotation.new_version_id or ""},
    )
    return Result(commit, events=(event,), state=RotationState.RETIRING)


async def _step_down(
    ctx: StepContext, unit: Unit, version: Version, now: datetime, overlap: timedelta
) -> None:
    """CURRENT becomes RETIRING; in an emergency, what is RETIRING already goes at once too."""
    if version.state is VersionState.CURRENT:
        await unit.save_version(
            replace(version, state=VersionState.RETIRING, revoke_at=now + overlap)
        )
    elif version.state is VersionState.RETIRING and ctx.rotation.mode is not Mode.NORMAL:
        await unit.save_version(replace(version, revoke_at=now))
        await _hasten(unit, ctx.credential.id, now)


async def _hasten(unit: Unit, credential_id: str, now: datetime) -> None:
    """Let earlier rotations, which wait for their overlap, revoke now."""
    waiting = await unit.rotations(
        credential_id=credential_id, states=frozenset({RotationState.RETIRING})
    )
    for rotation in waiting:
        for step in await unit.steps(rotation.id):
            if step.name is StepName.RETIRE and step.not_before and step.not_before > now:
                try:
                    await unit.reopen_rotation(
                        replace(rotation, resume_at=now), [replace(step, not_before=now)]
                    )
                except Busy:
                    continue


async def _hold_retirement(ctx: StepContext, unit: Unit, until: datetime) -> None:
    for step in ctx.steps:
        if step.name is StepName.RETIRE and not step.ended:
            await unit.save_step(replace(step, not_before=until), ctx.claim)


async def retire(ctx: StepContext) -> Result:
    """Revoke the old value, then try it: it must be refused. The refusal is kept as evidence."""
    async with ctx.parts.store.view() as unit:
        old = await version_of(unit, ctx.rotation.old_version_id)
        new = await version_of(unit, ctx.rotation.new_version_id)
        value = await unit.unseal(old.id) if old else None
    if new is not None and new.issued is not None:
        await settle_mint(ctx, keep=new.issued)
    if old is None or old.state in (VersionState.REVOKED, VersionState.DISCARDED):
        ctx.notes["evidence"] = "there was no old value to revoke"
        return Result()
    request_id = None
    if old.issued is not None:
        if REVOKED not in ctx.step.detail:
            revoked = await ctx.kind.revoke(ctx.credential.spec, old.issued)
            ctx.notes[REVOKED] = revoked.statement
            request_id = revoked.request_id
        proof = await ctx.kind.disprove(ctx.credential.spec, old.issued, value)
        ctx.notes["evidence"] = proof.statement
        ctx.notes.update(proof.detail)
    now = ctx.parts.clock.now()
    gone = old

    async def commit(unit: Unit) -> None:
        await unit.save_version(replace(gone, state=VersionState.REVOKED, ended_at=now))
        await unit.erase(gone.id)

    event = rotation_event(
        Action.VERSION_REVOKED,
        Outcome.OK,
        credential=ctx.credential,
        rotation=ctx.rotation,
        actor=ctx.parts.actor,
        at=now,
        detail={"version": gone.id, "evidence": ctx.notes.get("evidence", "")},
    )
    return Result(commit, events=(event,), request_id=request_id)
