"""What people do in a world: operators through rotator, others directly at Fly."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rotator.domain.errors import RotatorError
from rotator.domain.rotation import OPEN_ROLLOUTS, Actor, Mode, RolloutState, RotationState
from rotator.engine.request import Wish, abort, request_rotation, retry, undo
from rotator.engine.rollouts.control import abort_rollout, pause, resume
from rotator.simulator import app_secrets, deploys, leases, machines, tokens
from rotator.simulator.errors import ApiError
from rotator.simulator.model import GONE_STATES, App, Machine, Token
from tests.simulation.invariants import SOMEBODY
from tests.simulation.organization import scale_up
from tests.simulation.plan import Act

if TYPE_CHECKING:
    from tests.simulation.seeded import SeededWorld

OPERATOR = Actor("user", "operator")


class People:
    """Does what a plan's acts say, one after the other."""

    def __init__(self, world: SeededWorld) -> None:
        self._world = world
        self._fly = world.fly

    async def act(self, act: Act) -> str:
        """Do one thing; gives what came of it."""
        rng = random.Random(act.dice)
        verbs: Mapping[str, Callable[[random.Random], Awaitable[str]]] = {
            "rotate": lambda dice: self._rotate(dice, Mode.NORMAL),
            "emergency": lambda dice: self._rotate(dice, Mode.EMERGENCY),
            "revoke_first": lambda dice: self._rotate(dice, Mode.REVOKE_FIRST),
            "abort": self._abort,
            "retry": self._retry,
            "undo": self._undo,
            "pause": self._pause,
            "resume": self._resume,
            "abort_rollout": self._abort_rollout,
            "edit_manifest": self._edit,
            "renew_api_token": self._renew,
        }
        try:
            if act.verb in verbs:
                return await verbs[act.verb](rng)
            return self._others(act.verb, rng)
        except (RotatorError, ApiError) as error:
            return f"refused: {error}"
        finally:
            self._world.held(self._world.promises.world_changed)

    # -- operators

    async def _rotate(self, rng: random.Random, mode: Mode) -> str:
        name = rng.choice(self._world.names)
        wish = Wish(OPERATOR, "by hand", "manual", mode)
        return (await request_rotation(self._world.office, name, wish)).id

    async def _abort(self, rng: random.Random) -> str:
        chosen = self._some_rotation(rng, RotationState.RUNNING)
        return (await abort(self._world.office, chosen, OPERATOR, "")).id if chosen else "nothing"

    async def _retry(self, rng: random.Random) -> str:
        chosen = self._some_rotation(rng, RotationState.PARKED)
        return (await retry(self._world.office, chosen, OPERATOR, "")).id if chosen else "nothing"

    async def _undo(self, rng: random.Random) -> str:
        chosen = self._some_rotation(rng, RotationState.RETIRING)
        return (await undo(self._world.office, chosen, OPERATOR, "")).id if chosen else "nothing"

    def _some_rotation(self, rng: random.Random, state: RotationState) -> str | None:
        """One that is in this state; now and then any other, which has to be refused."""
        rotations = self._world.shadow.rotations
        fit = sorted(each for each, rotation in rotations.items() if rotation.state is state)
        known = fit if fit and rng.random() < 0.9 else sorted(rotations)[-6:]
        return rng.choice(known) if known else None

    async def _pause(self, rng: random.Random) -> str:
        return await self._with_rollout(rng, pause)

    async def _resume(self, rng: random.Random) -> str:
        return await self._with_rollout(rng, resume)

    async def _abort_rollout(self, rng: random.Random) -> str:
        return await self._with_rollout(rng, abort_rollout)

    async def _with_rollout(
        self, rng: random.Random, what: Callable[..., Awaitable[object]]
    ) -> str:
        rollouts = self._world.shadow.rollouts
        fit = sorted(each for each, row in rollouts.items() if row.state in OPEN_ROLLOUTS)
        known = fit if fit and rng.random() < 0.9 else sorted(rollouts)[-3:]
        if not known:
            return "nothing"
        chosen = rng.choice(known)
        await what(self._world.office, chosen, OPERATOR, "by hand")
        return chosen

    async def _edit(self, rng: random.Random) -> str:
        plans = list(self._world.credentials)
        place = rng.randrange(len(plans))
        match rng.choice(("schedule", "overlap", "remove", "add_target")):
            case "schedule":
                plans[place] = replace(plans[place], every_hours=rng.choice((24, 40, 60)))
            case "overlap":
                plans[place] = replace(plans[place], overlap_minutes=rng.choice((0, 30, 300)))
            case "remove" if len(plans) > 1:
                plans.pop(place)
            case _ if plans[place].kind != "wireguard-peer":
                app = rng.choice(list(self._world.plan.apps)).name
                extra = ("fly-secret", app, f"EXTRA_{plans[place].name}".upper())
                targets = tuple(dict.fromkeys((*plans[place].targets, extra)))
                plans[place] = replace(plans[place], targets=targets)
        await self._world.apply(plans)
        return ", ".join(plan.name for plan in plans)

    async def _renew(self, rng: random.Random) -> str:
        """rotator's own token ends; after a while somebody gives it another one."""
        await self._world.replace_api_token(rng.choice((5.0, 600.0, 7200.0)))
        return "replaced"

    # -- others

    def _others(self, verb: str, rng: random.Random) -> str:
        app = rng.choice([a for a in self._fly.apps.values() if a.org.slug == "acme"])
        match verb:
            case "deploy":
                release = deploys.deploy(self._fly, app, force=rng.random() < 0.3)
                return f"{app.name}: {release.version if release else 'gave up'}"
            case "delete_token":
                return self._delete_token(rng)
            case "set_secret":
                return self._set_secret(rng)
        return self._with_machine(verb, app, rng)

    def _with_machine(self, verb: str, app: App, rng: random.Random) -> str:
        free = [
            m
            for _, m in sorted(app.machines.items())
            if m.state not in GONE_STATES
            and leases.standing(self._fly, m) is None
            and not _of_a_rollout(m)
        ]
        if not free:
            return "nothing"
        machine = rng.choice(free)
        match verb:
            case "scale_up":
                return scale_up(self._fly, app, machine).id
            case "scale_down":
                if sum(m.group == machine.group for m in free) > 1:
                    machines.destroy(self._fly, machine)
            case "restart":
                machines.restart(self._fly, machine)
            case "start":
                machines.start(self._fly, machine)
            case "stop":
                machines.stop(self._fly, machine)
            case "suspend":
                machines.suspend(self._fly, machine)
        return machine.id

    def _delete_token(self, rng: random.Random) -> str:
        ours = [
            t for t in self._fly.tokens.values() if t.profile == "deploy" and t.revoked_at is None
        ]
        if not ours:
            return "nothing"
        token = rng.choice(ours)
        tokens.revoke(self._fly, token, SOMEBODY)
        return token.name

    def _set_secret(self, rng: random.Random) -> str:
        places = [t for plan in self._world.credentials for t in plan.targets if t[0] != "file"]
        if not places:
            return "nothing"
        _, app, name = rng.choice(places)
        value = f"by-hand-{rng.getrandbits(60):015x}"
        self._world.promises.by_hand.add(value)
        app_secrets.write(self._fly, self._fly.apps[app], {name: value})
        return f"{app}/{name}"

    # -- after the faults

    async def tidy(self) -> None:
        """What a diligent operator does: what each parked rotation and paused rollout asks for."""
        shadow = self._world.shadow
        for rollout in list(shadow.rollouts.values()):
            if rollout.state is RolloutState.PAUSED:
                await self._tried(resume(self._world.office, rollout.id, OPERATOR, "tidy"))
        for rotation in list(shadow.rotations.values()):
            if rotation.state is RotationState.PARKED:
                tries = self._world.retried.get(rotation.id, 0)
                self._world.retried[rotation.id] = tries + 1
                turn = retry if tries < 3 else abort
                await self._tried(turn(self._world.office, rotation.id, OPERATOR, "tidy"))
        for app in self._fly.apps.values():
            deploys.deploy(self._fly, app)

    async def _tried(self, doing: Awaitable[object]) -> None:
        try:
            await doing
        except RotatorError as error:
            self._world.trace("operator", f"refused: {error}")


def _of_a_rollout(machine: Machine) -> bool:
    metadata = machine.config.get("metadata")
    marks = metadata if isinstance(metadata, dict) else {}
    return "rotator_clone_of" in marks or "rotator_rehearsal" in marks


def header_of(token: Token) -> str:
    """What a client sends to be somebody: the token with its login."""
    return tokens.header(token)
