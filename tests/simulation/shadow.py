"""What the database holds, put together from what was committed: the checks look at this."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from rotator.domain.credential import Credential, Version
from rotator.domain.events import Event
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    Claim,
    MachineRestart,
    Rollout,
    RolloutState,
    Rotation,
    RotationState,
    Step,
)
from tests.simulation.process import Write


class Shadow:
    """Committed rows by id, and the plain values that were sealed."""

    def __init__(self) -> None:
        self.credentials: dict[str, Credential] = {}
        self.versions: dict[str, Version] = {}
        self.values: dict[str, str] = {}
        self.rotations: dict[str, Rotation] = {}
        self.steps: dict[str, dict[str, Step]] = {}
        self.rollouts: dict[str, Rollout] = {}
        self.served: dict[str, set[str]] = {}
        self.restarts: dict[tuple[str, str], MachineRestart] = {}
        self.claims: dict[str, Claim] = {}
        self.locks: dict[str, Any] = {}
        self.events: list[Event] = []

    def apply(self, writes: list[Write]) -> None:
        """Take in what a transaction has written."""
        for name, args, result in writes:
            getattr(self, f"_{name}", _ignore)(args, result)

    def next_resume(self) -> datetime | None:
        """When a rotation next wants a worker."""
        wishes = (r.resume_at for r in self.rotations.values() if r.resume_at is not None)
        return min(wishes, default=None)

    def next_due(self) -> datetime | None:
        """When a credential is next due that no rotation is busy with."""
        busy = {r.credential_id for r in self.rotations.values() if r.state in ACTIVE}
        wishes = (
            c.due_at for c in self.credentials.values() if c.due_at is not None and c.id not in busy
        )
        return min(wishes, default=None)

    def has_rotation(self, state: RotationState) -> bool:
        """Whether any is in this state."""
        return any(r.state is state for r in self.rotations.values())

    def has_rollout(self, state: RolloutState) -> bool:
        """Whether any is in this state."""
        return any(r.state is state for r in self.rollouts.values())

    def rotations_of(self, credential_id: str) -> list[Rotation]:
        """Newest first."""
        found = [r for r in self.rotations.values() if r.credential_id == credential_id]
        return sorted(found, key=lambda r: r.id, reverse=True)

    def _save_credential(self, args: Any, _: Any) -> None:
        self.credentials[args[0].id] = args[0]

    def _save_version(self, args: Any, _: Any) -> None:
        self.versions[args[0].id] = args[0]

    def _seal(self, args: Any, _: Any) -> None:
        self.values[args[0]] = args[1].reveal()

    def _add_rotation(self, args: Any, _: Any) -> None:
        self.rotations[args[0].id] = args[0]
        self._add_steps((args[1],), None)

    def _save_rotation(self, args: Any, _: Any) -> None:
        saved = args[0]
        known = self.rotations.get(saved.id)
        asked = known.abort_requested_at if known else None
        saved = replace(saved, abort_requested_at=asked)
        if asked is not None and saved.resume_at is not None and saved.state not in ENDED:
            saved = replace(saved, resume_at=min(saved.resume_at, asked))
        self.rotations[saved.id] = saved

    def _request_abort(self, args: Any, _: Any) -> None:
        changed = replace(self.rotations[args[0]], abort_requested_at=args[1])
        if args[1] is not None:
            changed = replace(changed, resume_at=args[1])
        self.rotations[args[0]] = changed

    def _reopen_rotation(self, args: Any, _: Any) -> None:
        self.rotations[args[0].id] = args[0]
        self._add_steps((args[1],), None)

    def _add_steps(self, args: Any, _: Any) -> None:
        for step in args[0]:
            self.steps.setdefault(step.rotation_id, {})[step.id] = step

    def _save_step(self, args: Any, _: Any) -> None:
        self._add_steps(([args[0]],), None)

    def _claim(self, _: Any, result: Any) -> None:
        if result is not None:
            self.claims[result.rotation_id] = result

    def _renew(self, _: Any, result: Any) -> None:
        self.claims[result.rotation_id] = result

    def _release(self, args: Any, _: Any) -> None:
        claim = args[0]
        known = self.claims.get(claim.rotation_id)
        if known is not None and known.fence == claim.fence:
            del self.claims[claim.rotation_id]

    def _save_rollout(self, args: Any, _: Any) -> None:
        self.rollouts[args[0].id] = args[0]

    def _link_rollout(self, args: Any, _: Any) -> None:
        self.served.setdefault(args[0], set()).add(args[1])

    def _save_machine_restart(self, args: Any, _: Any) -> None:
        self.restarts[(args[0].rollout_id, args[0].machine_id)] = args[0]

    def _lock_app(self, args: Any, result: Any) -> None:
        if result is not None:
            self.locks[args[0]] = result

    def _unlock_app(self, args: Any, _: Any) -> None:
        known = self.locks.get(args[0].app)
        if known is not None and known.fence == args[0].fence:
            del self.locks[args[0].app]

    def _append(self, args: Any, _: Any) -> None:
        self.events.extend(args)


def _ignore(_args: Any, _result: Any) -> None:
    """A write that no check looks at."""
