"""The start of a rotation: look before anything is touched, take over what stands, begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotator.domain.credential import Credential, Issued, Version, VersionState
from rotator.domain.errors import InputError, NeedsHuman, NotAllowed, NotFound
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.policy import WAITING_STRATEGIES, Strategy
from rotator.domain.protocol import rolled_apps
from rotator.domain.rollout import plan_rollout
from rotator.domain.rotation import Mode, RotationState
from rotator.domain.sorting import Aim
from rotator.engine.adoption import all_machines
from rotator.engine.journal import main_app, rotation_event
from rotator.engine.parts import Parts
from rotator.engine.step import StepContext

_NEVER_ALONE = WAITING_STRATEGIES | {Strategy.IMMEDIATE}
_NOBODY_HOLDS = 2**62


async def begin(ctx: StepContext) -> None:
    """QUEUED becomes RUNNING once the world has been looked at; nothing outside changes here."""
    await preflight(ctx.parts, ctx.credential)
    if ctx.rotation.mode is Mode.NORMAL:
        await refuse_blocked_rollouts(ctx.parts, ctx.credential)
    adopted = await find_adoptable(ctx.parts, ctx.credential)
    now = ctx.parts.clock.now()
    async with ctx.parts.store.unit() as unit:
        old = await unit.current_version(ctx.credential.id)
        if old is None and adopted is not None:
            old = adopted
            await unit.save_version(adopted)
            await unit.append(adoption_event(ctx.parts, ctx.credential, adopted))
        rotation = replace(
            ctx.charged(),
            state=RotationState.RUNNING,
            started_at=now,
            resume_at=now,
            old_version_id=old.id if old else None,
        )
        await unit.save_rotation(rotation, ctx.claim)
        event = rotation_event(
            Action.ROTATION_STARTED,
            Outcome.INFO,
            credential=ctx.credential,
            rotation=rotation,
            actor=ctx.parts.actor,
            at=now,
            detail={"mode": ctx.rotation.mode.value, "old_version": old.id if old else "none"},
        )
        await unit.append(event)


async def preflight(parts: Parts, credential: Credential) -> None:
    """Refuse before anything is touched what could not go well: missing rights, missing apps."""
    lacking = await parts.authority.missing(credential.spec)
    if lacking:
        raise NotAllowed(
            f"rotator's own token can't rotate {credential.name}: {'; '.join(lacking)}",
            next_step="give rotator a token with these rights in ROTATOR_FLY_API_TOKEN",
        )
    for app in dict.fromkeys(t.app for t in credential.spec.targets if t.app is not None):
        try:
            overview = await parts.fleet.app(app)
        except NotFound as error:
            raise NotFound(
                f"{credential.name} is delivered to the app {app!r}, which does not exist or which "
                "this token may not see",
                next_step="mend `app` in the manifest, or the token's scope",
                request_id=error.request_id,
            ) from error
        if overview.organization != credential.spec.organization:
            raise NeedsHuman(
                f"the app {app!r} belongs to the organisation {overview.organization!r}, not "
                f"{credential.spec.organization!r}",
                next_step="mend `app` or `organization` in the manifest",
            )


async def refuse_blocked_rollouts(parts: Parts, credential: Credential) -> None:
    """Refuse before anything is touched what the rollout's policy forbids: a group of one machine
    that would be left with none."""
    for app in rolled_apps(credential.spec):
        policy = next(t.rollout for t in credential.spec.targets if t.app == app)
        if policy.allow_single or policy.strategy in _NEVER_ALONE:
            continue
        names = {
            parts.targets[t.type].secret_name(t.params)
            for t in credential.spec.targets
            if t.app == app
        }
        aim = Aim(names=frozenset(n for n in names if n is not None), floor=_NOBODY_HOLDS)
        plan = plan_rollout(await all_machines(parts.fleet, app), policy, aim)
        if plan.blockers:
            raise InputError(f"{app}: {'; '.join(plan.blockers)}")


async def find_adoptable(parts: Parts, credential: Credential) -> Version | None:
    """What stands at the credential's place although rotator never made it, as a version.

    Asked only while the inventory knows no version at all.
    """
    async with parts.store.view() as unit:
        if await unit.versions(credential.id):
            return None
    issued = await _standing(parts, credential)
    return None if issued is None else adopted_version(parts, credential, issued)


def adopted_version(parts: Parts, credential: Credential, issued: Issued) -> Version:
    """What stands at the issuer or a target, as a version whose value is unknown."""
    now = parts.clock.now()
    return Version(
        id=parts.new_id(),
        credential_id=credential.id,
        rotation_id=None,
        state=VersionState.CURRENT,
        issued=issued,
        sealed=False,
        created_at=now,
        promoted_at=issued.created_at,
    )


async def _standing(parts: Parts, credential: Credential) -> Issued | None:
    """The newest value at the issuer, else what the first target shows."""
    kind = parts.kinds[credential.spec.kind]
    held = await kind.holdings(credential.spec)
    if held:
        return newest(held)
    for spec in credential.spec.targets:
        state = await parts.targets[spec.type].inspect(spec)
        if state is not None:
            return Issued(ref="", name=spec.key, created_at=state.changed_at)
    return None


def newest(held: Sequence[Issued]) -> Issued:
    """The youngest by creation, then by reference where the issuer tells no date."""
    return max(held, key=lambda i: (i.created_at is not None, i.created_at or 0, i.ref))


def adoption_event(parts: Parts, credential: Credential, version: Version) -> Event:
    """The event that a value made by somebody else is now tracked."""
    issued = version.issued
    return Event(
        action=Action.VERSION_ADOPTED,
        outcome=Outcome.INFO,
        actor=parts.actor,
        at=parts.clock.now(),
        credential=credential.name,
        kind=credential.spec.kind,
        organization=credential.spec.organization,
        app=main_app(credential),
        detail={
            "version": version.id,
            "issued_as": issued.name if issued else "",
            "created_at": issued.created_at.isoformat() if issued and issued.created_at else "",
        },
    )
