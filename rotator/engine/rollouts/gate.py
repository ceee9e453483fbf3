"""What opens and shuts the way to the next wave, for all groups of a rollout together."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.domain.errors import NotAllowed, NotYet, Refused, RetryLater
from rotator.domain.policy import OnFailure
from rotator.domain.rotation import MachineRestart, RestartState, RolloutWish
from rotator.engine.rollouts.run import RolloutRun


class Gate:
    """Shut by a failure beyond the budget, by an error, by a person, by a stop of this worker.

    Groups roll side by side; each asks here before a wave, so that all of them stop at the first
    machine that does not become healthy (P4).
    """

    def __init__(self, run: RolloutRun, machines: int) -> None:
        self._run = run
        policy = run.rollout.policy
        lenient = policy.on_failure is OnFailure.CONTINUE and policy.failure_budget is not None
        self._allowed = (
            policy.failure_budget.of(machines) if lenient and policy.failure_budget else 0
        )
        self._failed: dict[str, str] = {}
        self._later: RetryLater | NotAllowed | Refused | None = None
        self.pause_wanted = False

    @property
    def problem(self) -> str | None:
        """What went wrong, machine by machine, or None."""
        return "; ".join(self._failed.values()) or None

    @property
    def within_budget(self) -> bool:
        """Whether the failures are fewer than what the policy lets pass."""
        return len(self._failed) <= self._allowed

    @property
    def shut(self) -> bool:
        """Whether no further machine may be touched."""
        return not self.within_budget or self._later is not None or self.pause_wanted

    def note(self, restarts: Iterable[MachineRestart]) -> None:
        """Take in how machines have ended."""
        for each in restarts:
            if each.state is RestartState.FAILED:
                self._failed[each.machine_id] = (
                    f"machine {each.machine_id} in {each.region}: {each.note}"
                )

    def hold(self, error: RetryLater | NotAllowed | Refused) -> None:
        """Something stops the rollout; the first such error is kept, but a refusal is for good."""
        if self._later is None or isinstance(error, Refused):
            self._later = error

    def raise_hold(self) -> None:
        """Raise what stopped the rollout, if anything did."""
        if self._later is not None:
            raise self._later

    async def may_go_on(self) -> bool:
        """Ask before each wave. Raises `Refused` when the rotation was aborted by hand."""
        if self.shut:
            return False
        run = self._run
        async with run.parts.store.view() as unit:
            rotation = await unit.rotation(run.rotation.id)
            rollout = await unit.rollout(run.rollout.id)
        if rollout is not None and rollout.wish is RolloutWish.PAUSE:
            self.pause_wanted = True
            return False
        if run.parts.stopping.is_set():
            self.hold(NotYet("this worker is stopping; another one goes on", after_seconds=1))
            return False
        if run.halted.is_set():
            self.hold(NotYet("the rollout of another app has failed", after_seconds=1))
            return False
        asked_back = rotation is not None and rotation.abort_requested_at is not None
        if asked_back and not run.repairing:
            raise Refused("the rotation was aborted by hand")
        return True
