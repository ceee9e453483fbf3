"""The promises, looked at from outside after every simulated event.

The simulator's truth and what is committed are held against each other; the engine is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.events import Action
from rotator.domain.protocol import RULES
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    OPEN_ROLLOUTS,
    Claim,
    Mode,
    Rotation,
    RotationState,
)
from rotator.domain.sorting import left_alone_reason, reads_value
from rotator.engine.checkpoint import Verification
from rotator.fly import macaroon
from rotator.fly.machine_model import MachineModel
from rotator.kinds import wg_quick
from rotator.simulator import leases, tokens
from rotator.simulator.model import GONE_STATES, Machine, Token
from rotator.simulator.views import machine_view
from rotator.simulator.world import World
from tests.simulation.broken import Broken
from tests.simulation.plan import CredentialPlan
from tests.simulation.process import Write
from tests.simulation.shadow import Shadow

LONGEST_LEASE = timedelta(minutes=2)
OWNER = "rotator rollout "
SOMEBODY = "somebody@example.com"
HOLDING = frozenset({"started", "starting", "suspending", "suspended"})
OUT_OF_USE = frozenset({VersionState.REVOKED, VersionState.DISCARDED})


class Promises:
    """P1, P2, P3, P5 and P6 over the whole world."""

    def __init__(
        self,
        fly: World,
        shadow: Shadow,
        plans: dict[str, CredentialPlan],
        files: dict[str, str],
        rotators: Callable[[], set[str]],
    ) -> None:
        self._fly, self._shadow, self._plans, self._files = fly, shadow, plans, files
        self._rotators = rotators
        self._tokens: dict[str, Token | None] = {}
        self._bad: dict[str, Version] = {}
        self.by_hand: set[str] = set()
        """Values that somebody else has written over a target of rotator's."""
        self.looks = 0

    # -- after every event of the world

    def world_changed(self) -> None:
        """A machine has moved, somebody has done something, or a request has had an effect."""
        self.looks += 1
        for app in self._fly.apps.values():
            owners: set[str] = set()
            for machine in app.machines.values():
                if machine.state in GONE_STATES:
                    continue
                self._leases(machine, owners)
                if machine.booted is not None and machine.state in HOLDING:
                    self._holds_good_values(machine)
            if len(owners) > 1:
                raise Broken("P3", f"{app.name} is rolled out by {' and '.join(sorted(owners))}")

    def _leases(self, machine: Machine, owners: set[str]) -> None:
        lease = machine.lease
        if lease is None or leases.standing(self._fly, machine) is None:
            return
        if not lease.description.startswith("rotator"):
            return
        rollout = self._shadow.rollouts.get(lease.description.removeprefix(OWNER))
        if rollout is None or rollout.state in OPEN_ROLLOUTS:
            # One of a rollout that has ended is what a lost answer left; it runs out by itself.
            owners.add(lease.description)
        if lease.expires_at - self._fly.now() > LONGEST_LEASE:
            raise Broken("P5", f"{machine.id} is leased by rotator until {lease.expires_at}")

    def _holds_good_values(self, machine: Machine) -> None:
        """P1: every value that a machine holds is one that its issuer accepts."""
        assert machine.booted is not None
        if machine.skip_secrets or machine.app.org.slug != "acme":
            return
        for name, value in machine.booted.values.items():
            why = self._why_refused(value)
            if why and self._is_a_consumer(machine, name, value):
                raise Broken("P1", f"{machine.app.name}/{machine.id} holds a {name} {why}")

    def _why_refused(self, value: str) -> str | None:
        token = self._token(value)
        if token is not None and token.revoked_at is not None and token.revoked_by != SOMEBODY:
            return f"that is revoked ({token.name})"
        version = self._bad.get(value)
        return f"that is {version.state.value} ({version.id})" if version else None

    def _token(self, value: str) -> Token | None:
        if value not in self._tokens:
            found: Token | None = None
            if value.startswith("FlyV1"):
                (made, *_) = macaroon.permission_tokens(value)
                found = tokens.find(self._fly, made)
            self._tokens[value] = found
        return self._tokens[value]

    def _is_a_consumer(self, machine: Machine, name: str, value: str) -> bool:
        """Whether rotator answers for the value that this machine reads under this name."""
        credential = self._reader_of(machine.app.name, name)
        if credential is None or self._gap_is_wanted(credential, value):
            return False
        plan = self._plans[credential.name]
        view = machine_view(self._fly, machine)
        seen = MachineModel.model_validate(view).plain(machine.app.name)
        if not reads_value(seen, frozenset({name}), plan.rollout.groups):
            return False
        if left_alone_reason(seen) is None:
            return True
        # Those are not updated; where a start does not bring values, none but their owner can.
        hurried = any(r.mode is not Mode.NORMAL for r in self._shadow.rotations_of(credential.id))
        return not hurried and (seen.schedule is None or self._fly.switches.start_takes_secrets)

    def _reader_of(self, app: str, name: str) -> Credential | None:
        for credential in self._shadow.credentials.values():
            plan = self._plans.get(credential.name)
            if plan is not None and ("fly-secret", app, name) in plan.targets:
                return credential
        return None

    def _gap_is_wanted(self, credential: Credential, value: str) -> bool:
        """`--revoke-first` is asked for with a gap; and what somebody else put there is theirs."""
        rotations = self._shadow.rotations_of(credential.id)
        return any(r.mode is Mode.REVOKE_FIRST for r in rotations) or value in self.by_hand

    # -- after every commit

    def committed(self, writes: list[Write]) -> None:
        """Something was committed, and the shadow knows it."""
        ended, versions = False, False
        for name, args, _ in writes:
            if name in ("save_rotation", "reopen_rotation"):
                self._rotation_saved(self._shadow.rotations[args[0].id])
                ended = ended or args[0].state in ENDED
            elif name == "save_version":
                versions = True
                self._version_saved(args[0])
            elif name == "save_step":
                self._step_saved(args[0])
            if name in ("save_rotation", "save_step", "add_steps"):
                self._written_under(args[-1])
        if versions:
            self.world_changed()
            self.places_hold_good_values()
        self._one_at_a_time()

    def _written_under(self, claim: Claim | None) -> None:
        """P3: who has lost a claim writes nothing under it."""
        present = self._shadow.claims.get(claim.rotation_id) if claim else None
        if claim is not None and (present is None or present.fence != claim.fence):
            raise Broken("P3", f"{claim.worker_id} writes under a claim that has passed on")

    def _one_at_a_time(self) -> None:
        """P3, in the database."""
        active: dict[str, str] = {}
        for rotation in self._shadow.rotations.values():
            if rotation.state in ACTIVE:
                other = active.setdefault(rotation.credential_id, rotation.id)
                if other != rotation.id:
                    raise Broken("P3", f"{rotation.id} and {other} rotate the same credential")
        rolling: dict[str, str] = {}
        for rollout in self._shadow.rollouts.values():
            if rollout.state in OPEN_ROLLOUTS:
                other = rolling.setdefault(rollout.app, rollout.id)
                if other != rollout.id:
                    raise Broken("P3", f"{rollout.id} and {other} roll {rollout.app} out")

    def _version_saved(self, version: Version) -> None:
        value = self._shadow.values.get(version.id)
        if value is not None and version.state in OUT_OF_USE:
            self._bad[value] = version
        if version.state is VersionState.CURRENT and version.rotation_id is not None:
            self._proven(version)

    def _proven(self, version: Version) -> None:
        """P1: what is promoted is in use, so that nothing depends on the old value any more."""
        credential = self._shadow.credentials[version.credential_id]
        value = self._shadow.values.get(version.id)
        rotation = self._shadow.rotations.get(version.rotation_id or "")
        plan = self._plans.get(credential.name)
        if value is None or rotation is None or plan is None or rotation.mode is not Mode.NORMAL:
            return
        for target in plan.targets:
            if target[0] != "fly-secret" or target[1] not in self._fly.apps:
                continue
            for machine in self._fly.apps[target[1]].machines.values():
                held = machine.booted.values.get(target[2]) if machine.booted else None
                if machine.state != "started" or held in (value, None) or held in self.by_hand:
                    continue
                if self._is_a_consumer(machine, target[2], held or ""):
                    raise Broken(
                        "P1", f"{version.id} is promoted, but {machine.id} has another {target[2]}"
                    )

    def _rotation_saved(self, rotation: Rotation) -> None:
        if rotation.state is RotationState.PARKED:
            told = rotation.parked
            if told is None or not (told.cause and told.safe and told.next_command):
                raise Broken("P5", f"rotation {rotation.id} is parked without cause or next step")
        elif rotation.state not in ENDED and rotation.resume_at is None:
            raise Broken("P5", f"rotation {rotation.id} is {rotation.state} and wants no worker")
        if rotation.state in (RotationState.SUCCEEDED, RotationState.ROLLED_BACK):
            self._nothing_left(rotation)

    def _step_saved(self, step: object) -> None:
        name, attempt = step.name, step.attempt  # type: ignore[attr-defined]
        if attempt > RULES[name].attempts + 1:
            raise Broken("P5", f"{name} is tried for the {attempt}th time")

    def _nothing_left(self, rotation: Rotation) -> None:
        """P2: of an ended rotation's name the issuer holds its new value, or nothing."""
        new = self._shadow.versions.get(rotation.new_version_id or "")
        keep = new.issued.ref if new and new.issued and new.state not in OUT_OF_USE else None
        for ref, name in self._living():
            if name[-26:].upper() == rotation.id and ref != keep:
                raise Broken("P2", f"{name} is left over: rotation {rotation.id} has ended")

    def _living(self) -> Iterator[tuple[str, str]]:
        now = self._fly.now()
        for token in self._fly.tokens.values():
            if token.revoked_at is None and token.expires_at > now:
                yield token.id, token.name
        for org in self._fly.organizations.values():
            for name in org.peers:
                yield name, name

    # -- places that consumers read by themselves

    def places_hold_good_values(self) -> None:
        """P1: what stands at a target may be read at any time, so it is accepted at any time."""
        for credential in self._shadow.credentials.values():
            plan = self._plans.get(credential.name)
            for target in plan.targets if plan else ():
                value = self._standing(target)
                if value is None or self._gap_is_wanted(credential, value):
                    continue
                why = self._why_refused(value) or self._dead_peer(value)
                if why:
                    raise Broken("P1", f"{':'.join(target)} holds a value {why}")

    def _standing(self, target: tuple[str, ...]) -> str | None:
        if target[0] == "file":
            return self._files.get(target[1])
        app = self._fly.apps.get(target[1])
        secret = app.secrets.get(target[2]) if app else None
        return secret.value if secret else None

    def _dead_peer(self, value: str) -> str | None:
        if "PrivateKey" not in value:
            return None
        (line,) = (text for text in value.splitlines() if text.startswith("PrivateKey"))
        key = wg_quick.public_key(line.partition("=")[2].strip())
        peers = self._fly.organizations["acme"].peers.values()
        return None if any(p.public_key == key for p in peers) else "whose peer is removed"

    # -- from time to time, and at the end

    def nobody_is_forgotten(self, now: datetime, slack: timedelta) -> None:
        """P5: what wants a worker gets one."""
        for rotation in self._shadow.rotations.values():
            if rotation.state in ENDED:
                continue
            if rotation.resume_at is None or rotation.resume_at < now - slack:
                raise Broken(
                    "P5",
                    f"{rotation.state} rotation {rotation.id} waits since {rotation.resume_at}",
                )

    def no_value_shows(self, texts: list[str]) -> None:
        """P6: no value is in any of these texts."""
        everything = "\n".join(texts)
        for version_id, value in self._shadow.values.items():
            bare = value.removeprefix("FlyV1 ")
            if bare in everything:
                raise Broken("P6", f"the value of {version_id} can be read")

    def settled(self, cordoned: set[str]) -> None:
        """What has to hold when faults have stopped and everything has come to rest."""
        for rotation in self._shadow.rotations.values():
            if rotation.state not in ENDED:
                raise Broken(
                    "P5", f"rotation {rotation.id} is {rotation.state} after all this time"
                )
        for rollout in self._shadow.rollouts.values():
            if rollout.state in OPEN_ROLLOUTS:
                raise Broken("P5", f"rollout {rollout.id} of {rollout.app} is {rollout.state}")
        self._machines_at_rest(cordoned)
        self._inventory_is_true()

    def _machines_at_rest(self, cordoned: set[str]) -> None:
        for app in self._fly.apps.values():
            for machine in app.machines.values():
                if machine.state in GONE_STATES:
                    continue
                lease = leases.standing(self._fly, machine)
                if lease is not None and lease.description.startswith("rotator"):
                    raise Broken("P5", f"{machine.id} is still leased by rotator")
                if machine.cordoned and machine.id in cordoned:
                    raise Broken("P5", f"{machine.id} is still out of the proxy")
                metadata = machine.config.get("metadata")
                marks = metadata if isinstance(metadata, dict) else {}
                original = app.machines.get(str(marks.get("rotator_clone_of", "")))
                unneeded = original is not None and original.state not in GONE_STATES
                if "rotator_rehearsal" in marks or unneeded:
                    raise Broken("P5", f"{machine.id}, which a rollout made, is left over")

    def _inventory_is_true(self) -> None:
        """P2: the issuer holds what the inventory says, and nothing else of ours."""
        parked = {
            r.credential_id
            for r in self._shadow.rotations.values()
            if r.state is RotationState.PARKED
        }
        alive = dict(self._living())
        for credential in self._shadow.credentials.values():
            plan = self._plans.get(credential.name)
            if plan is None or plan.kind == "secret" or credential.id in parked:
                continue
            names = (f"{credential.name}-",)
            ours = {ref for ref, name in alive.items() if name.startswith(names)}
            held = {
                v.issued.ref
                for v in self._shadow.versions.values()
                if v.credential_id == credential.id
                and v.issued is not None
                and v.state in (VersionState.CURRENT, VersionState.RETIRING)
                and not v.adopted
            }
            gone = self._lost_by_others()
            if ours - held:
                raise Broken("P2", f"{sorted(ours - held)} of {credential.name} are left over")
            if held - ours - gone:
                raise Broken("P2", f"{sorted(held - ours)} of {credential.name} are gone")

    def _lost_by_others(self) -> set[str]:
        now = self._fly.now()
        return {
            t.id
            for t in self._fly.tokens.values()
            if t.revoked_by == SOMEBODY or t.expires_at <= now
        }

    def everything_was_told(self) -> None:
        """P7: each intent of a step has an outcome behind it."""
        open_ones: dict[tuple[str, str, str], int] = {}
        for number, event in enumerate(self._shadow.events):
            key = (
                event.rotation_id or "",
                event.detail.get("step", ""),
                event.target or event.app or "",
            )
            if event.action is Action.STEP_INTENDED:
                open_ones[key] = number
            elif event.action in (Action.STEP_DONE, Action.STEP_WAITING, Action.STEP_FAILED):
                open_ones.pop(key, None)
        if open_ones:
            (rotation_id, step, _) = next(iter(open_ones))
            raise Broken(
                "P7", f"{step} of {rotation_id} was begun, and the log does not say how it went"
            )

    def log_holds(self, verification: Verification, events: int) -> None:
        """P7: the chain verifies, and nothing that was committed is missing from it."""
        if verification.fault is not None:
            raise Broken("P7", verification.fault.message)
        if verification.events != events:
            raise Broken("P7", f"the log has {verification.events} events, {events} were written")
