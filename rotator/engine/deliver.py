"""The steps at the targets: deliver, and restore on the way back."""

from __future__ import annotations

from rotator.domain.credential import TargetSpec, Version
from rotator.domain.drift import TargetWatch, Writer
from rotator.domain.errors import NeedsHuman
from rotator.domain.ports import Receipt, Unit
from rotator.domain.protocol import ABSENT, BEFORE, MARKER
from rotator.domain.rotation import Step, StepName
from rotator.domain.secret import Secret
from rotator.engine.drift import note_write, refuse_contested
from rotator.engine.journal import FIRST_VERSION
from rotator.engine.step import Result, StepContext, version_of

SECRETS_VERSION = "secrets_version"


async def look_before_delivery(ctx: StepContext) -> None:
    """Before the first try: note whether anything stood at the target, for the undo."""
    if BEFORE in ctx.step.detail:
        return
    spec = _target_spec(ctx)
    state = await ctx.target(spec.key).inspect(spec)
    if spec.app is not None:
        await refuse_contested(ctx.parts, ctx.credential, spec, state, ctx.rotation.mode)
    ctx.notes[BEFORE] = ABSENT if state is None else state.marker


async def deliver(ctx: StepContext) -> Result:
    """Write the new value to the target of this step."""
    spec = _target_spec(ctx)
    value = await _rendered(ctx, ctx.rotation.new_version_id)
    receipt = await ctx.target(spec.key).deliver(spec, value)
    return _written(ctx, spec, receipt)


async def restore(ctx: StepContext) -> Result:
    """Put the old value back, or take the new one away where nothing stood before."""
    spec = _target_spec(ctx)
    delivery = next(
        s for s in ctx.steps if s.name is StepName.DELIVER and s.subject == ctx.step.subject
    )
    target = ctx.target(spec.key)
    if delivery.detail.get(BEFORE) == ABSENT:
        receipt = await target.remove(spec)
    else:
        receipt = await target.deliver(spec, await _rendered(ctx, ctx.rotation.old_version_id))
    return _written(ctx, spec, receipt)


def _written(ctx: StepContext, spec: TargetSpec, receipt: Receipt) -> Result:
    ctx.notes[MARKER] = receipt.marker
    number = receipt.secrets_version
    if number is None or spec.app is None:
        return Result(request_id=receipt.request_id)
    ctx.notes[FIRST_VERSION] = ctx.step.detail.get(FIRST_VERSION, str(number))
    ctx.notes[SECRETS_VERSION] = str(number)
    app, restored = spec.app, ctx.step.name is StepName.RESTORE
    new = TargetWatch(
        ctx.credential.id, spec.key, receipt.marker, Writer.ROTATOR, ctx.parts.clock.now()
    )

    async def commit(unit: Unit) -> None:
        await unit.note_secrets_version(app, number)
        await note_write(unit, ctx.credential, spec, new, restored=restored)

    return Result(commit, request_id=receipt.request_id)


def receipt_of(step: Step) -> Receipt:
    """The receipt that a finished delivery left in its detail."""
    number = step.detail.get(SECRETS_VERSION)
    return Receipt(step.detail.get(MARKER, ""), int(number) if number else None)


def first_version_of(step: Step) -> int:
    """The secrets version with which a delivery first wrote its value; 0 where none is known. A
    retry writes it once more, and machines may hold it since the first time."""
    return int(step.detail.get(FIRST_VERSION) or step.detail.get(SECRETS_VERSION) or "0")


def _target_spec(ctx: StepContext) -> TargetSpec:
    for spec in ctx.credential.spec.targets:
        if spec.key == ctx.step.subject:
            return spec
    raise NeedsHuman(
        f"the manifest no longer names the target {ctx.step.subject} of {ctx.credential.name}",
        next_step="put it back into the manifest until this rotation has ended",
    )


async def _rendered(ctx: StepContext, version_id: str | None) -> Secret:
    async with ctx.parts.store.view() as unit:
        version: Version | None = await version_of(unit, version_id)
        value = await unit.unseal(version.id) if version else None
    if version is None or version.issued is None or value is None:
        raise NeedsHuman(f"the value of {ctx.credential.name} is not in the database")
    return ctx.kind.render(ctx.credential.spec, version.issued, value)
