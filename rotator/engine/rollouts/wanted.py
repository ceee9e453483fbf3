"""What a rollout is for, read from its rotation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rotator.domain.policy import WAITING_STRATEGIES, RolloutPolicy
from rotator.domain.rotation import Mode, StepName
from rotator.domain.sorting import Aim
from rotator.engine.deliver import SECRETS_VERSION, first_version_of
from rotator.engine.journal import first_intended
from rotator.engine.step import StepContext


@dataclass(frozen=True)
class Wanted:
    """The app, what its machines shall hold, and how to bring them there.

    `secrets_version` is the newest that is known of the app: asking for it serves every delivery
    made before, while `aim.floor` is all that this rotation needs. `undoes` is the delivery that a
    roll-back takes back: only machines that may have taken it up restart.
    """

    app: str
    organization: str
    aim: Aim
    secrets_version: int
    policy: RolloutPolicy
    emergency: bool
    undoes: tuple[int, datetime] | None = None

    @property
    def repairing(self) -> bool:
        """Whether this is a roll-back."""
        return self.undoes is not None

    @property
    def waits(self) -> bool:
        """Whether running machines are left alone."""
        return self.policy.strategy in WAITING_STRATEGIES


async def wanted_of(ctx: StepContext) -> Wanted:
    """What the context's step wants."""
    app = ctx.step.subject
    back = ctx.step.name is StepName.ROLL_BACK
    delivered = StepName.RESTORE if back else StepName.DELIVER
    targets = [t for t in ctx.credential.spec.targets if t.app == app]
    names = [ctx.parts.targets[t.type].secret_name(t.params) for t in targets]
    writes = [s for s in ctx.done_steps(delivered) if s.subject in {t.key for t in targets}]
    numbers = [int(s.detail.get(SECRETS_VERSION, "0")) for s in writes]
    async with ctx.parts.store.view() as unit:
        ledger = await unit.secrets_version(app)
    floor = max(numbers, default=0) or ledger
    return Wanted(
        app=app,
        organization=ctx.credential.spec.organization,
        aim=Aim(
            names=frozenset(n for n in names if n is not None),
            floor=floor,
            delivered_at=max((s.outcome_at for s in writes if s.outcome_at), default=None),
        ),
        secrets_version=max(ledger, floor),
        policy=targets[0].rollout,
        emergency=ctx.rotation.mode is not Mode.NORMAL,
        undoes=_undone_delivery(ctx, app) if back else None,
    )


def _undone_delivery(ctx: StepContext, app: str) -> tuple[int, datetime]:
    """The lowest secrets version that held the new value, and when it was first written."""
    keys = {t.key for t in ctx.credential.spec.targets if t.app == app}
    steps = [s for s in ctx.steps if s.name is StepName.DELIVER and s.subject in keys and s.attempt]
    numbers = [number for step in steps if (number := first_version_of(step))]
    begun = min(first_intended(step, ctx.parts.clock.now()) for step in steps)
    return (min(numbers, default=0), begun)
