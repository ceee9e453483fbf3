"""The steps at the issuer: mint, prove, discard, and the hunt for values that got lost (P2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rotator.domain.credential import Issued, Version, VersionState
from rotator.domain.errors import NeedsHuman, NotYet, Refused
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Unit
from rotator.domain.rotation import Rotation, StepName
from rotator.domain.turning import mint_was_unclear
from rotator.engine.adoption import confirm_restored
from rotator.engine.journal import rotation_event
from rotator.engine.step import Result, StepContext, version_of


async def intend_mint(ctx: StepContext, unit: Unit) -> Rotation:
    """With the intent: the pending version, and what can be made before the call, sealed. Gives
    the rotation as it is once that is committed."""
    if ctx.rotation.new_version_id is not None:
        version = await unit.version(ctx.rotation.new_version_id)
        if version.state is VersionState.PENDING:
            return ctx.rotation
    version = Version(
        id=ctx.parts.new_id(),
        credential_id=ctx.credential.id,
        rotation_id=ctx.rotation.id,
        state=VersionState.PENDING,
        issued=None,
        sealed=False,
        created_at=ctx.parts.clock.now(),
    )
    prepared = ctx.kind.prepare(ctx.mint_request(), ctx.parts.entropy)
    await unit.save_version(version)
    if prepared is not None:
        await unit.seal(version.id, prepared)
    rotation = replace(ctx.rotation, new_version_id=version.id)
    await unit.save_rotation(rotation, ctx.claim)
    return rotation


async def mint(ctx: StepContext) -> Result:
    """Create the new value; on a repeat, first revoke what earlier tries left behind."""
    request = ctx.mint_request()
    repeated = ctx.step.attempt > 1 or ctx.rotation.remints > 0
    if repeated:
        await revoke_leftovers(ctx, keep=None)
    async with ctx.parts.store.view() as unit:
        version = await _new_version(ctx, unit)
        prepared = await unit.unseal(version.id)
    try:
        minted = await ctx.kind.mint(request, prepared)
    except Refused as error:
        if repeated:
            raise NotYet(
                f"the issuer refuses a name or key that an earlier try may have taken: {error}"
            ) from error
        raise
    ctx.notes["issued_as"] = minted.issued.name
    ctx.notes["issuer_ref"] = minted.issued.ref
    issued = minted.issued
    if issued.created_at is None:
        issued = replace(issued, created_at=ctx.parts.clock.now())

    async def commit(unit: Unit) -> None:
        await unit.save_version(replace(version, issued=issued))
        await unit.seal(version.id, minted.value)

    return Result(commit, request_id=minted.request_id)


async def prove(ctx: StepContext) -> Result:
    """Use the new value once. A refusal of it is final for this value, not for the rotation."""
    async with ctx.parts.store.view() as unit:
        version = await _new_version(ctx, unit)
        value = await unit.unseal(version.id)
    if version.issued is None or value is None:
        raise NeedsHuman(f"the new value of {ctx.credential.name} is not in the database")
    evidence = await ctx.kind.prove(ctx.credential.spec, version.issued, value)
    ctx.notes["evidence"] = evidence.statement
    ctx.notes.update(evidence.detail)
    return Result(request_id=evidence.request_id)


async def discard(ctx: StepContext) -> Result:
    """Revoke the new value and everything else under the rotation's name."""
    async with ctx.parts.store.view() as unit:
        version = await version_of(unit, ctx.rotation.new_version_id)
    if version is None:
        ctx.notes["evidence"] = "nothing had been issued"
        return Result()
    again = await confirm_restored(ctx)
    if again:
        return Result(reopen=again)
    if version.issued is not None:
        evidence = await ctx.kind.revoke(ctx.credential.spec, version.issued)
        ctx.notes["evidence"] = evidence.statement
    if _mint_was_unclear(ctx):
        _wait_for_lists(ctx)
        await revoke_leftovers(ctx, keep=None)
    now = ctx.parts.clock.now()

    async def commit(unit: Unit) -> None:
        if version.state in (VersionState.PENDING, VersionState.CURRENT):
            await unit.save_version(replace(version, state=VersionState.DISCARDED, ended_at=now))
        if version.state is VersionState.CURRENT:
            await _reinstate(ctx, unit)
        await unit.erase(version.id)

    event = rotation_event(
        Action.VERSION_DISCARDED,
        Outcome.OK,
        credential=ctx.credential,
        rotation=ctx.rotation,
        actor=ctx.parts.actor,
        at=now,
        detail={"version": version.id},
    )
    return Result(commit, events=(event,))


async def _reinstate(ctx: StepContext, unit: Unit) -> None:
    """The old version is in use again: a rotation was undone within its overlap."""
    old = await version_of(unit, ctx.rotation.old_version_id)
    if old is not None and old.state is VersionState.RETIRING:
        await unit.save_version(replace(old, state=VersionState.CURRENT, revoke_at=None))


async def settle_mint(ctx: StepContext, keep: Issued) -> None:
    """Before a rotation ends well: revoke what an unclear mint left beside the value in use."""
    if _mint_was_unclear(ctx):
        _wait_for_lists(ctx)
        await revoke_leftovers(ctx, keep=keep)


async def revoke_leftovers(ctx: StepContext, *, keep: Issued | None) -> None:
    """Revoke what stands at the issuer under this rotation's name, but for `keep`."""
    found = list(await ctx.kind.locate(ctx.mint_request()))
    known = {issued.ref for issued in found}
    found += [i for i in await _earlier_values(ctx) if i.ref not in known]
    for issued in found:
        if keep is not None and issued.ref == keep.ref:
            continue
        await _note_leftover(ctx, Action.LEFTOVER_FOUND, Outcome.INTENT, issued)
        await ctx.kind.revoke(ctx.credential.spec, issued)
        await _note_leftover(ctx, Action.LEFTOVER_REVOKED, Outcome.OK, issued)


async def _earlier_values(ctx: StepContext) -> Sequence[Issued]:
    """Values of this rotation that the issuer refused and that were given up."""
    async with ctx.parts.store.view() as unit:
        versions = await unit.versions(ctx.credential.id)
    return [
        v.issued
        for v in versions
        if v.rotation_id == ctx.rotation.id
        and v.issued is not None
        and v.state is VersionState.DISCARDED
    ]


async def _note_leftover(
    ctx: StepContext, action: Action, outcome: Outcome, issued: Issued
) -> None:
    event = rotation_event(
        action,
        outcome,
        credential=ctx.credential,
        rotation=ctx.rotation,
        actor=ctx.parts.actor,
        at=ctx.parts.clock.now(),
        detail={"issuer_ref": issued.ref, "issued_as": issued.name},
    )
    async with ctx.parts.store.unit() as unit:
        await unit.append(event)


async def _new_version(ctx: StepContext, unit: Unit) -> Version:
    version = await version_of(unit, ctx.rotation.new_version_id)
    if version is None:
        raise NeedsHuman(f"rotation {ctx.rotation.id} has no new version")
    return version


def _mint_was_unclear(ctx: StepContext) -> bool:
    """Whether the issuer may hold a value that nobody was told of."""
    return ctx.kind.issuer_lists and mint_was_unclear(ctx.steps)


def _wait_for_lists(ctx: StepContext) -> None:
    """Hold until lists can't hide a late mint any more (Fly: lists are eventually consistent)."""
    last: datetime | None = max(
        (s.intent_at for s in ctx.steps if s.name is StepName.MINT and s.intent_at), default=None
    )
    if last is None:
        return
    clear_at = last + ctx.parts.limits.list_lag
    missing = (clear_at - ctx.parts.clock.now()).total_seconds()
    if missing > 0:
        raise NotYet("a value whose response was lost may not be listed yet", after_seconds=missing)
