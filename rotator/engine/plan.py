"""What a rotation would do, step by step, without doing it; and whether the world still fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.errors import RotatorError
from rotator.domain.machines import Machine
from rotator.domain.policy import WAITING_STRATEGIES, RolloutPolicy, Strategy
from rotator.domain.ports import TargetState
from rotator.domain.protocol import RULES, SEQUENCES, rolled_apps, subjects
from rotator.domain.rollout import RolloutPlan, plan_rollout
from rotator.domain.rotation import Mode, StepName
from rotator.domain.sorting import Aim
from rotator.engine.adoption import all_machines
from rotator.engine.begin import find_adoptable, preflight
from rotator.engine.parts import Parts
from rotator.engine.plan_calls import rollout_calls

BOOT_ESTIMATE = timedelta(seconds=20)
"""What a machine's update, boot and checks usually take; only for the estimate in plans."""


@dataclass(frozen=True)
class PlannedStep:
    """One line of a plan: the step, its subject, and the API calls that it makes, in order."""

    step: StepName
    subject: str
    effect: str
    calls: tuple[str, ...]


@dataclass(frozen=True)
class AppRollout:
    """What would happen to one app's machines."""

    app: str
    plan: RolloutPlan
    minutes: float
    policy: RolloutPolicy


@dataclass(frozen=True)
class CredentialPlan:
    """The whole plan for one credential.

    `blockers` say why it can't start; `warnings` what to know before; `held_by` for whom the
    revocation waits, so that `revoke_at` is the earliest; `fingerprint` changes when anything that
    the plan rests on does.
    """

    credential: Credential
    mode: Mode
    steps: tuple[PlannedStep, ...]
    rollouts: tuple[AppRollout, ...]
    revokes: str
    revoke_at: datetime | None
    minutes: float
    blockers: tuple[str, ...]
    warnings: tuple[str, ...]
    held_by: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Shared:
    """An app whose one rollout serves several credentials, and how many restarts that saves."""

    app: str
    credentials: tuple[str, ...]
    saved: int
    coalesce: timedelta


def shared_rollouts(plans: Sequence[CredentialPlan]) -> tuple[Shared, ...]:
    """What rotating these credentials together saves, app by app. Pure."""
    by_app: dict[str, list[tuple[str, AppRollout]]] = {}
    for plan in plans:
        for rollout in plan.rollouts:
            by_app.setdefault(rollout.app, []).append((plan.credential.name, rollout))
    found = []
    for app, served in by_app.items():
        chains = [each for _, rollout in served for each in rollout.plan.chains]
        machines = {m.id for each in chains for wave in each.waves for m in wave}
        saved = sum(rollout.plan.restarts for _, rollout in served) - len(machines)
        coalesce = min(rollout.policy.coalesce for _, rollout in served)
        if saved and coalesce:
            found.append(Shared(app, tuple(name for name, _ in served), saved, coalesce))
    return tuple(found)


async def plan_rotation(
    parts: Parts,
    credential: Credential,
    versions: Sequence[Version],
    mode: Mode = Mode.NORMAL,
) -> CredentialPlan:
    """Look at the world and say what rotating this credential would do. Reads only."""
    blockers = await _blockers(parts, credential)
    targets: dict[str, TargetState | None] = {}
    rollouts: list[AppRollout] = []
    current = next((v for v in versions if v.state is VersionState.CURRENT), None)
    machines: dict[str, Sequence[Machine]] = {}
    if not blockers:
        for spec in credential.spec.targets:
            targets[spec.key] = await parts.targets[spec.type].inspect(spec)
        for app in rolled_apps(credential.spec):
            machines[app] = await all_machines(parts.fleet, app)
            rollouts.append(_app_rollout(parts, credential, app, machines[app], mode))
        if not versions:
            current = await find_adoptable(parts, credential)
    overlap = credential.spec.policy.overlap if mode is Mode.NORMAL else timedelta(0)
    blockers += [f"{r.app}: {why}" for r in rollouts for why in r.plan.blockers]
    # Apps roll side by side.
    minutes = round(max((r.minutes for r in rollouts), default=0.0) + 0.1, 1)
    return CredentialPlan(
        credential=credential,
        mode=mode,
        steps=_steps(parts, credential, mode, rollouts),
        rollouts=tuple(rollouts),
        revokes=_revokes(current),
        revoke_at=parts.clock.now() + timedelta(minutes=minutes) + overlap if current else None,
        minutes=minutes,
        blockers=tuple(blockers),
        warnings=_warnings(credential, current, targets, rollouts, mode),
        held_by=_held_by(credential, rollouts),
        fingerprint=_fingerprint(credential, mode, current, targets, machines),
    )


async def _blockers(parts: Parts, credential: Credential) -> list[str]:
    try:
        await preflight(parts, credential)
    except RotatorError as error:
        return [str(error)]
    return []


def _app_rollout(
    parts: Parts, credential: Credential, app: str, machines: Sequence[Machine], mode: Mode
) -> AppRollout:
    targets = [t for t in credential.spec.targets if t.app == app]
    names = [parts.targets[t.type].secret_name(t.params) for t in targets]
    policy = targets[0].rollout
    newest = max((m.marked_secrets_version for m in machines), default=0)
    if mode is not Mode.NORMAL and policy.strategy in WAITING_STRATEGIES:
        policy = replace(policy, strategy=Strategy.ROLLING)
    aim = Aim(names=frozenset(n for n in names if n is not None), floor=newest + 1)
    plan = plan_rollout(machines, policy, aim, forced=mode is not Mode.NORMAL)
    minutes = round(_estimate(plan, policy).total_seconds() / 60, 1)
    return AppRollout(app, plan, minutes, policy)


def _estimate(plan: RolloutPlan, policy: RolloutPolicy) -> timedelta:
    """How long the longest chain takes: boots, soaks and pauses."""
    longest = timedelta(0)
    for each in plan.chains:
        waves, canaries = len(each.waves), each.canary_waves
        pauses = policy.stagger * max(waves - 1, 0)
        soaks = policy.canary_soak * canaries + policy.soak * (waves - canaries)
        checked = all(m.expects_checks for wave in each.waves for m in wave)
        boot = BOOT_ESTIMATE + policy.drain + (timedelta(0) if checked else policy.smoke)
        longest = max(longest, boot * waves + pauses + soaks)
    rehearsal = BOOT_ESTIMATE if policy.rehearsal and plan.chains else timedelta(0)
    return longest + rehearsal


def _steps(
    parts: Parts, credential: Credential, mode: Mode, rollouts: Sequence[AppRollout]
) -> tuple[PlannedStep, ...]:
    return tuple(
        PlannedStep(
            step=name,
            subject=subject,
            effect=_effect(name, subject, rollouts),
            calls=_calls(parts, credential, name, subject, rollouts),
        )
        for name in SEQUENCES[mode]
        for subject in subjects(credential.spec, RULES[name].fan)
    )


def _effect(name: StepName, subject: str, rollouts: Sequence[AppRollout]) -> str:
    """What the step does; a rollout's depends on its strategy."""
    rollout = next((r for r in rollouts if r.app == subject), None)
    if name is not StepName.ROLL_OUT or rollout is None:
        return RULES[name].effect
    return {
        Strategy.IMMEDIATE: "restart the machines that read it, all at once",
        Strategy.BLUE_GREEN: "replace the machines that read it by clones",
        Strategy.NEXT_START: "leave running machines alone until they start anew",
        Strategy.NEXT_RELEASE: "leave the machines to the team's own next release",
    }.get(rollout.policy.strategy, RULES[name].effect)


def _calls(
    parts: Parts,
    credential: Credential,
    name: StepName,
    subject: str,
    rollouts: Sequence[AppRollout],
) -> tuple[str, ...]:
    if name is StepName.ROLL_OUT:
        rollout = next((r for r in rollouts if r.app == subject), None)
        return (
            ()
            if rollout is None
            else rollout_calls(app=subject, plan=rollout.plan, policy=rollout.policy)
        )
    if name in (StepName.DELIVER, StepName.CONFIRM):
        found: list[str] = []
        for spec in credential.spec.targets:
            if name is StepName.CONFIRM or spec.key == subject:
                found += parts.targets[spec.type].calls(spec).get(name.value, ())
        if name is StepName.CONFIRM:
            apps = dict.fromkeys(t.app for t in credential.spec.targets if t.app)
            found += [f"GET /v1/apps/{app}/machines" for app in apps]
        return tuple(found)
    kind = parts.kinds[credential.spec.kind]
    return kind.calls(credential.spec).get(name.value, ())


def _held_by(credential: Credential, rollouts: Sequence[AppRollout]) -> tuple[str, ...]:
    """Machines that keep the old value in use beyond the rollout, app by app."""
    found: list[str] = []
    for rollout in rollouts:
        plan, app = rollout.plan, rollout.app
        next_release = rollout.policy.strategy is Strategy.NEXT_RELEASE
        what = "release" if next_release else "start"
        for machines, why in (
            (plan.waiting, f"until their next {what}"),
            (plan.at_next_start, "until they start"),
            (plan.unreachable, "until their hosts answer"),
        ):
            if machines:
                found.append(f"{app}: {len(machines)} machines, {why}")
    found += [
        f"{target.app}: every machine that runs, until somebody renews it"
        for target in credential.spec.targets
        if target.app and target.rollout.strategy is Strategy.NONE
    ]
    return tuple(found)


def _revokes(current: Version | None) -> str:
    if current is None:
        return "nothing: no value is in use yet"
    name = current.issued.name if current.issued else current.id
    origin = "adopted: its value was never known to rotator" if current.adopted else "ours"
    return f"{name} ({origin})"


def _warnings(
    credential: Credential,
    current: Version | None,
    targets: Mapping[str, TargetState | None],
    rollouts: Sequence[AppRollout],
    mode: Mode,
) -> tuple[str, ...]:
    found: list[str] = []
    if credential.spec.observed:
        found.append('it is only observed (mode = "observe"): none of this happens')
    for key, state in targets.items():
        if state is not None and (current is None or not current.sealed):
            found.append(
                f"cannot be undone: {key} holds a value that rotator never knew and can't put "
                "back; a failure parks the rotation with both values working, and from the next "
                "rotation on there is an undo"
            )
    for target in credential.spec.targets:
        if target.app and target.rollout.strategy is Strategy.NONE:
            found.append(
                f'{target.key} has rollout = "none": nothing is restarted, and the old value '
                "stays valid until every machine has been renewed"
            )
    for rollout in rollouts:
        found += rollout.plan.notes
        if _nobody_reads(rollout.plan):
            found.append(f"{rollout.app} has no machine that reads the value")
    if mode is Mode.REVOKE_FIRST:
        found.append("consumers fail from the revocation until they have the new value")
    return tuple(found)


def _nobody_reads(plan: RolloutPlan) -> bool:
    places = (plan.chains, plan.asleep, plan.at_next_start, plan.waiting, plan.up_to_date)
    return not any(places) and not plan.unreachable


def _fingerprint(
    credential: Credential,
    mode: Mode,
    current: Version | None,
    targets: Mapping[str, TargetState | None],
    machines: Mapping[str, Sequence[Machine]],
) -> str:
    """A digest of everything that the plan rests on."""
    world = {
        "credential": credential.name,
        "spec": repr(credential.spec),
        "mode": mode.value,
        "current": current.issued.ref if current and current.issued else None,
        "targets": {key: state.marker if state else None for key, state in targets.items()},
        "machines": {
            app: sorted([m.id, m.instance_id, m.state] for m in listed)
            for app, listed in machines.items()
        },
    }
    text = json.dumps(world, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
