"""`rotator plan`: what would happen, as text, as JSON, and as a file to be held to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rotator.cli.failures import FAILED
from rotator.cli.plan_text import plan_lines, shared_line
from rotator.cli.session import opened
from rotator.cli.text import plain, print_json, say
from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.errors import Drift, InputError
from rotator.domain.rotation import Mode
from rotator.engine.plan import CredentialPlan, plan_rotation, shared_rollouts
from rotator.wiring import Rotator

FORMAT = 1


class PlannedCredential(BaseModel):
    """What a plan file holds of one credential: enough to see whether the world has drifted."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    credential: str
    mode: Mode
    fingerprint: str


class PlanFile(BaseModel):
    """A plan as `rotator plan --out` writes it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rotator_plan: int
    plans: tuple[PlannedCredential, ...]


async def show_plans(names: Sequence[str], mode: Mode, *, out: Path | None, as_json: bool) -> int:
    """`rotator plan`."""
    async with opened(online=True) as rotator:
        chosen = names or [spec.name for spec in rotator.manifest().specs]
        return await print_plans(rotator, chosen, mode, as_json=as_json, out=out)


async def print_plans(
    rotator: Rotator,
    names: Sequence[str],
    mode: Mode,
    *,
    as_json: bool,
    out: Path | None = None,
) -> int:
    """Make the plans and print them; 1 if one of them could not start."""
    plans = await make_plans(rotator, names, mode)
    if out is not None:
        _write(out, rotator, plans)
    if as_json:
        shared = shared_rollouts(plans)
        print_json({"plans": [_as_data(plan) for plan in plans], "shared": shared})
    else:
        for index, plan in enumerate(plans):
            if index:
                say()
            for line in plan_lines(plan):
                say(line)
        for each in shared_rollouts(plans):
            say()
            say(shared_line(each))
        if out is not None:
            say()
            say(f"written to {out}; `rotator rotate now --plan {out}` does just this or refuses")
    return FAILED if any(plan.blockers for plan in plans) else 0


async def make_plans(
    rotator: Rotator, names: Sequence[str], mode: Mode
) -> Sequence[CredentialPlan]:
    """A plan for each. The manifest decides what a credential is, tracked or not. Reads only."""
    specs = {spec.name: spec for spec in rotator.manifest().specs}
    plans: list[CredentialPlan] = []
    for name in dict.fromkeys(names):
        if name not in specs:
            raise InputError(
                f"there is no credential {name!r} in the manifest",
                next_step=f"it has: {', '.join(sorted(specs)[:8]) or 'none'}",
            )
    for name in dict.fromkeys(names):
        async with rotator.store.view() as unit:
            known = await unit.credential(name)
            versions: Sequence[Version] = await unit.versions(known.id) if known else ()
        now = rotator.parts.clock.now()
        credential = Credential(
            id=known.id if known else rotator.parts.new_id(),
            spec=specs[name],
            status=CredentialStatus.MANAGED,
            due_at=known.due_at if known else None,
            created_at=known.created_at if known else now,
            updated_at=now,
        )
        plans.append(await plan_rotation(rotator.parts, credential, versions, mode))
    return plans


def _as_data(plan: CredentialPlan) -> object:
    return {
        "credential": plan.credential.name,
        "kind": plan.credential.spec.kind,
        "place": plan.credential.spec.place,
        "mode": plan.mode,
        "blockers": plan.blockers,
        "warnings": plan.warnings,
        "steps": plan.steps,
        "rollouts": [
            {
                "app": rollout.app,
                "minutes": rollout.minutes,
                "policy": rollout.policy,
                "strategy": rollout.policy.strategy,
                "notes": rollout.plan.notes,
                "blockers": rollout.plan.blockers,
                "chains": [
                    {
                        "group": chain.group,
                        "method": chain.method,
                        "budget": chain.budget,
                        "canary_waves": chain.canary_waves,
                        "waves": [[_machine(m) for m in wave] for wave in chain.waves],
                    }
                    for chain in rollout.plan.chains
                ],
                "restarts": rollout.plan.restarts,
                "asleep": [_machine(m) for m in rollout.plan.asleep],
                "at_next_start": [_machine(m) for m in rollout.plan.at_next_start],
                "waiting": [_machine(m) for m in rollout.plan.waiting],
                "up_to_date": [_machine(m) for m in rollout.plan.up_to_date],
                "unreachable": [_machine(m) for m in rollout.plan.unreachable],
                "leftovers": [_machine(m) for m in rollout.plan.leftovers],
                "left_out": [
                    {"id": left.machine.id, "reason": left.reason} for left in rollout.plan.left_out
                ],
            }
            for rollout in plan.rollouts
        ],
        "minutes": plan.minutes,
        "revokes": plan.revokes,
        "revoke_at": plan.revoke_at,
        "revocation_waits_for": plan.held_by,
        "fingerprint": plan.fingerprint,
    }


def _machine(machine: object) -> object:
    return {
        key: getattr(machine, key) for key in ("id", "name", "region", "process_group", "state")
    }


def _write(out: Path, rotator: Rotator, plans: Sequence[CredentialPlan]) -> None:
    data = {
        "rotator_plan": FORMAT,
        "made_at": rotator.parts.clock.now(),
        "plans": [_as_data(plan) for plan in plans],
    }
    try:
        out.write_text(json.dumps(plain(data), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"can't be written: {(error.strerror or 'no reason given').lower()}", where=str(out)
        ) from None


def read_plan(path: Path) -> PlanFile:
    """Read a plan file.

    Raises:
        InputError: it is missing, is no plan, or is of another rotator's format.
    """
    again = "make it again with `rotator plan --out`"
    try:
        plan = PlanFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"can't be read: {(error.strerror or 'no reason given').lower()}", where=str(path)
        ) from None
    except ValidationError:
        raise InputError("is not a plan", where=str(path), next_step=again) from None
    if plan.rotator_plan != FORMAT or not plan.plans:
        raise InputError("is not a plan of this rotator", where=str(path), next_step=again)
    return plan


def planned_names(path: Path) -> Sequence[str]:
    """The credentials of a plan file."""
    return [each.credential for each in read_plan(path).plans]


async def confirm_plan(rotator: Rotator, path: Path, names: Sequence[str]) -> Mode:
    """See that the world is still the one that the plan was made for; give the plan's mode.

    Raises:
        Drift: it is not; nothing has been done.
    """
    plan = read_plan(path)
    mode = plan.plans[0].mode
    if any(each.mode is not mode for each in plan.plans):
        raise InputError("holds plans of different modes", where=str(path))
    fresh = {p.credential.name: p for p in await make_plans(rotator, names, mode)}
    for each in plan.plans:
        if fresh[each.credential].fingerprint != each.fingerprint:
            raise Drift(
                f"{each.credential} is not as it was when {path} was made: its policy, its current "
                "value, a target or a machine has changed; nothing was done",
                next_step="look at `rotator plan` again",
            )
    return mode
