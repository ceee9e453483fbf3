"""What each change that rotator makes outside is held against, at the instant of its effect.

P3 (by whoever holds the claim), P4 (how many machines are away), P7 (its intent is in the log) and
P8 (nothing of others is undone). All of it is judged by the simulator's truth and by what is
committed, not by what the engine believes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from rotator.domain.events import Action, Event
from rotator.domain.rotation import OPEN_ROLLOUTS, RestartState
from rotator.simulator import leases
from rotator.simulator.gateway import Asked
from rotator.simulator.model import GONE_STATES, RUNNING_STATES, Machine
from rotator.simulator.views import healthy
from rotator.simulator.world import World
from tests.simulation.broken import Broken
from tests.simulation.plan import RolloutPlan
from tests.simulation.process import Process, Working
from tests.simulation.shadow import Shadow

MACHINE = re.compile(r"/v1/apps/([^/]+)/machines/([^/]+)(?:/([a-z]+))?$")
APP = re.compile(r"/v1/apps/([^/]+)/([a-z]+)$")
NONCE = "fly-machine-lease-nonce"
MARKS = ("rotator_", "fly_release_")
READING = frozenset({"validateWireGuardPeers"})
STEP_EVENTS = frozenset(
    {Action.STEP_INTENDED, Action.STEP_DONE, Action.STEP_WAITING, Action.STEP_FAILED}
)
MUTATIONS = frozenset(
    {
        "createLimitedAccessToken",
        "deleteLimitedAccessToken",
        "addWireGuardPeer",
        "removeWireGuardPeer",
    }
)


def changes(asked: Asked) -> bool:
    """Whether a request is meant to change anything. Leases and releases are not counted."""
    if asked.path == "/graphql":
        return bool(MUTATIONS.intersection(asked.fields))
    aside = asked.path.endswith("/lease") or "/releases" in asked.path
    return asked.method != "GET" and not aside


@dataclass(frozen=True)
class Before:
    """A machine right before a request has its effect."""

    machine: Machine
    state: str
    in_service: bool
    config: Mapping[str, Any]


class Effects:
    """Looks at each change."""

    def __init__(self, fly: World, shadow: Shadow, plans: dict[str, RolloutPlan]) -> None:
        self._fly, self._shadow, self._plans = fly, shadow, plans
        self.taken: set[str] = set()
        self.cordoned: set[str] = set()
        self._released: set[str] = set()
        self._read_as: dict[str, str] = {}
        self._failed: dict[str, set[tuple[str, int]]] = {}

    # -- before

    def sending(self, process: Process, asked: Asked, working: Working | None) -> None:
        """P3: nobody changes anything in the name of a rotation that another worker has claimed."""
        if working is None or not changes(asked):
            return
        claim = self._shadow.claims.get(working.rotation_id)
        if claim is None or claim.worker_id != process.name:
            holder = claim.worker_id if claim else "nobody"
            raise Broken(
                "P3",
                f"{process.name} sends {asked.method} {asked.path} for {working.step} of "
                f"{working.rotation_id}, which {holder} has claimed",
            )

    def look(self) -> None:
        """Note which machines have come back: what befalls them from then on is not ours."""
        for app in self._fly.apps.values() if self.taken else ():
            for machine in app.machines.values():
                if machine.id in self.taken and self._in_service(machine):
                    self.taken.discard(machine.id)

    def before(self, asked: Asked) -> Before | None:
        """The machine that a request is about, as it stands."""
        self.look()
        found = MACHINE.match(asked.path)
        app = self._fly.apps.get(found[1]) if found else None
        machine = app.machines.get(found[2]) if app and found else None
        if machine is None:
            return None
        return Before(machine, machine.state, self._in_service(machine), machine.config)

    # -- after

    def served(
        self, asked: Asked, headers: Mapping[str, str], before: Before | None, response: Response
    ) -> None:
        """A request of a worker has had its effect."""
        if response.status_code >= 400:
            return
        if before is not None:
            found = MACHINE.match(asked.path)
            assert found is not None
            self._machine_served(asked, headers, before, found[3] or "")
        elif asked.path == "/graphql":
            self._graphql_served(asked, response)
        elif asked.method == "POST" and (app := APP.match(asked.path)):
            if app[2] == "secrets":
                self._secrets_served(app[1], json.loads(asked.body))
            elif app[2] == "machines":
                self._created(app[1], json.loads(asked.body))

    def _machine_served(
        self, asked: Asked, headers: Mapping[str, str], before: Before, verb: str
    ) -> None:
        machine = before.machine
        if asked.method == "GET":
            if not verb:
                self._read_as[machine.id] = before.state
            return
        if verb == "lease":
            if asked.method == "DELETE":
                self._released.add(headers.get(NONCE, ""))
            else:
                self._leased(machine)
            return
        if headers.get(NONCE) in self._released:
            raise Broken("P8", f"{machine.id} is changed under a lease that was given back")
        if asked.method == "DELETE":
            self._destroyed(before)
        elif not verb:
            self._updated(before, json.loads(asked.body))
        elif verb == "cordon":
            self._need(machine, Action.MACHINE_DRAINING, Action.MACHINE_DESTROYING)
            self.cordoned.add(machine.id)
            self._take(before, self._rollout_by_lease(machine))
        elif verb == "uncordon":
            self.cordoned.discard(machine.id)
        elif verb in ("start", "restart"):
            raise Broken("P8", f"{machine.id} was {before.state}, and rotator made it {verb}")
        elif verb == "stop":
            self._need(machine, Action.MACHINE_UPDATING)

    def _leased(self, machine: Machine) -> None:
        """P3: whoever takes a lease is a rollout that is under way."""
        rollout = self._shadow.rollouts.get(self._rollout_by_lease(machine))
        if rollout is not None and rollout.state not in OPEN_ROLLOUTS:
            raise Broken("P3", f"{machine.id} is leased by a rollout that is {rollout.state}")

    def _updated(self, before: Before, body: Mapping[str, Any]) -> None:
        machine = before.machine
        rollout_id = str(body["config"]["metadata"].get("rotator_rollout", ""))
        self._need(machine, Action.MACHINE_UPDATING, rollout_id=rollout_id)
        old, new = _without_marks(before.config), _without_marks(machine.config)
        if old != new:
            changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
            raise Broken("P8", f"an update of {machine.id} changed its {', '.join(changed)}")
        if _release(machine.config) < _release(before.config):
            raise Broken("P8", f"an update put {machine.id} back to an older release")
        asleep = ("stopped", "suspended", "created")
        if (
            not body.get("skip_launch")
            and before.state in asleep
            and self._read_as.get(machine.id) in asleep
        ):
            raise Broken("P8", f"{machine.id} was {before.state}, and an update may start it")
        self._stopped_at_failure(machine, rollout_id)
        if before.state in RUNNING_STATES:
            self._take(before, rollout_id)

    def _destroyed(self, before: Before) -> None:
        machine = before.machine
        self._need(machine, Action.MACHINE_DESTROYING)
        metadata = _metadata(machine.config)
        if "rotator_clone_of" in metadata or "rotator_rehearsal" in metadata:
            return
        heirs = _heirs(machine)
        if not heirs:
            raise Broken("P4", f"{machine.id} is destroyed, and nothing took over from it")

    def _created(self, app: str, body: Mapping[str, Any]) -> None:
        metadata = body["config"].get("metadata") or {}
        rollout_id = metadata.get("rotator_rollout")
        wanted = (Action.MACHINE_CLONING, Action.REHEARSAL_STARTED)
        if not any(e.action in wanted and e.rollout_id == rollout_id for e in self._shadow.events):
            raise Broken("P7", f"a machine of {app} is made without an intent in the log")

    def _secrets_served(self, app: str, body: Mapping[str, Any]) -> None:
        for name in body.get("values", {}):
            if not self._intended(("deliver", "restore"), target=f"fly-secret:{app}/{name}"):
                raise Broken("P7", f"{name} of {app} is set without an intent in the log")

    def _graphql_served(self, asked: Asked, response: Response) -> None:
        if b'"errors"' in bytes(response.body):
            return
        given = json.loads(asked.body).get("variables", {}).get("input", {})
        for name in MUTATIONS.intersection(asked.fields):
            if name in ("createLimitedAccessToken", "addWireGuardPeer"):
                rotation_id = str(given["name"])[-26:].upper()
                if not self._intended(("mint",), rotation_id=rotation_id):
                    raise Broken("P7", f"{given['name']} is made without an intent in the log")
            else:
                self._revocation(str(given.get("id") or given.get("name")))

    def _revocation(self, ref: str) -> None:
        for event in self._shadow.events:
            if event.action is Action.LEFTOVER_FOUND and event.detail.get("issuer_ref") == ref:
                return
        for version in self._shadow.versions.values():
            if version.issued is None or version.issued.ref != ref:
                continue
            for rotation in self._shadow.rotations.values():
                if version.id in (rotation.old_version_id, rotation.new_version_id):
                    steps = ("retire", "discard")
                    if self._intended(steps, rotation_id=rotation.id):
                        return
        raise Broken("P7", f"{ref} is revoked without an intent in the log")

    # -- the rules

    def _intended(self, steps: tuple[str, ...], *, target: str = "", rotation_id: str = "") -> bool:
        """Whether the last that the log says of such a step is that it is about to be done."""
        for event in reversed(self._shadow.events):
            if event.action not in STEP_EVENTS or event.detail.get("step") not in steps:
                continue
            if (not target or event.target == target) and (
                not rotation_id or event.rotation_id == rotation_id
            ):
                return event.action is Action.STEP_INTENDED
        return False

    def _need(self, machine: Machine, *actions: Action, rollout_id: str = "") -> None:
        """P7: the log says what is about to happen to this machine."""
        for event in reversed(self._shadow.events):
            if event.action in actions and machine.id in _machines_of(event):
                if rollout_id in ("", event.rollout_id):
                    return
                break
        raise Broken("P7", f"{machine.id} is changed without an intent in the log")

    def _in_service(self, machine: Machine) -> bool:
        return healthy(self._fly, machine) and not machine.cordoned

    def _rollout_by_lease(self, machine: Machine) -> str:
        lease = leases.standing(self._fly, machine)
        return lease.description.removeprefix("rotator rollout ") if lease else ""

    def _take(self, before: Before, rollout_id: str) -> None:
        """P4: a machine goes out of service, and with it not too many of its group are."""
        machine = before.machine
        group = [
            m
            for m in machine.app.machines.values()
            if m.group == machine.group and m.state not in GONE_STATES and not _aside(m)
        ]
        away = [m for m in group if m is not machine and self._away(m)]
        self.taken.add(machine.id)
        policy = self._policy(rollout_id)
        if not before.in_service or policy is None or _heirs(machine):
            return
        allowed = policy.allowed(len(group))
        if len(away) + 1 > allowed:
            raise Broken(
                "P4",
                f"{machine.id} of {machine.app.name}/{machine.group} is taken out of service while "
                f"{', '.join(map(_told, away))} are: {allowed} of {len(group)} may be",
            )

    def _away(self, machine: Machine) -> bool:
        if machine.id not in self.taken:
            return False
        if self._in_service(machine):
            self.taken.discard(machine.id)
            return False
        return (machine.state in RUNNING_STATES or machine.cordoned) and not _heirs(machine)

    def _policy(self, rollout_id: str) -> RolloutPlan | None:
        for rotation_id in sorted(self._shadow.served.get(rollout_id, ())):
            rotation = self._shadow.rotations.get(rotation_id)
            if rotation is not None and rotation.credential_name in self._plans:
                return self._plans[rotation.credential_name]
        return None

    # -- P4: it stops at the first machine that does not become healthy

    def restart_saved(self, row: Any) -> None:
        """A machine's record was committed."""
        if row.state is RestartState.FAILED and row.rollout_id not in self._failed:
            self._failed[row.rollout_id] = {
                (r.process_group, r.wave)
                for (rollout_id, _), r in self._shadow.restarts.items()
                if rollout_id == row.rollout_id and r.state is not RestartState.PLANNED
            }

    def rollout_resumed(self, rollout_id: str) -> None:
        """A person lets it go on."""
        self._failed.pop(rollout_id, None)

    def _stopped_at_failure(self, machine: Machine, rollout_id: str) -> None:
        begun = self._failed.get(rollout_id)
        row = self._shadow.restarts.get((rollout_id, machine.id))
        policy = self._policy(rollout_id)
        if begun is None or row is None or policy is None or policy.on_failure == "continue":
            return
        if (row.process_group, row.wave) not in begun:
            raise Broken("P4", f"rollout {rollout_id} goes on to {machine.id} after a failure")


def _aside(machine: Machine) -> bool:
    """Whether a machine does not count yet: a rehearsal, or a clone beside its original."""
    marks = _metadata(machine.config)
    original = machine.app.machines.get(str(marks.get("rotator_clone_of", "")))
    beside = original is not None and original.state not in GONE_STATES
    return beside or "rotator_rehearsal" in marks


def _heirs(machine: Machine) -> list[Machine]:
    """The clones that have taken over from a machine."""
    return [
        each
        for each in machine.app.machines.values()
        if _metadata(each.config).get("rotator_clone_of") == machine.id
        and each.state not in GONE_STATES
        and not each.cordoned
    ]


def _told(machine: Machine) -> str:
    state = "sick" if machine.unhealthy else machine.state
    return (
        f"{machine.id} ({state}{', cordoned' if machine.cordoned else ''}, {machine.host_status})"
    )


def _machines_of(event: Event) -> tuple[str, ...]:
    return (
        event.machine or "",
        event.detail.get("machine_id", ""),
        event.detail.get("replaced_by", ""),
    )


def _metadata(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("metadata")
    return found if isinstance(found, dict) else {}


def _without_marks(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in _metadata(config).items() if not k.startswith(MARKS)}
    return {**config, "metadata": kept}


def _release(config: Mapping[str, Any]) -> int:
    text = str(_metadata(config).get("fly_release_version", "0"))
    return int(text) if text.isdigit() else 0
