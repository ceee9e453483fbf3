"""The recurring jobs of a worker. None holds state of its own: the database says what is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.due import decide, why_due
from rotator.domain.errors import Busy, InputError, NeedsHuman, RetryLater, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Signer, Unit, WorkerRecord
from rotator.domain.protocol import rolled_apps
from rotator.domain.reasons import LATE_NOTE, ReasonCode
from rotator.domain.rotation import Actor, ActorKind, Mode, Rotation, StepState
from rotator.engine.advance import advance
from rotator.engine.catch_up import is_late, paced
from rotator.engine.checkpoint import sign_checkpoint
from rotator.engine.inventory import credential_event
from rotator.engine.journal import rotation_event
from rotator.engine.observe import would_rotate
from rotator.engine.parts import Parts
from rotator.engine.reconcile import reconcile
from rotator.engine.request import Wish, queue

_log = logging.getLogger(__name__)
_PAGE = 50
READY_SECONDS = 0.5
"""How often a busy runner asks for more."""
ADOPTION_PAUSE = timedelta(seconds=30)
"""When to look again at a place whose issuer did not answer."""
SCHEDULE = Actor(ActorKind.SCHEDULE.value, "policy")


async def find_due(parts: Parts) -> Sequence[Rotation]:
    """Queue a rotation for every credential that is due and may start now.

    Costs as much as what is due: the database hands out only those.
    """
    queued: list[Rotation] = []
    now = parts.clock.now()
    async with parts.store.view() as unit:
        due = list(await unit.due(now, _PAGE))
        due = list(await paced(parts, unit, due, now))
        due += await _due_soon_beside(unit, due, now)
    for found in due:
        credential = await _adopted_first(parts, found, now)
        if credential is None:
            continue
        rotation = await _consider(parts, credential, now)
        if rotation is not None:
            queued.append(rotation)
    return queued


async def _due_soon_beside(
    unit: Unit, due: Sequence[Credential], now: datetime
) -> Sequence[Credential]:
    """Credentials that are due within `coalesce` for an app that is rolled out now anyway: pulled
    forward, so that one restart serves them all."""
    spans = {
        target.app: target.rollout.coalesce
        for credential in due
        for target in credential.spec.targets
        if target.app in rolled_apps(credential.spec)
    }
    longest = max(spans.values(), default=timedelta(0))
    if not longest:
        return ()
    known = {credential.id for credential in due}
    return [
        replace(credential, due_at=now)
        for credential in await unit.due(now + longest, _PAGE)
        if credential.id not in known
        and not credential.spec.observed
        and credential.due_at is not None
        and any(
            credential.due_at - now <= spans.get(app, timedelta(0))
            for app in rolled_apps(credential.spec)
        )
    ]


async def _adopted_first(parts: Parts, credential: Credential, now: datetime) -> Credential | None:
    """The credential, once what stands at its place is known: a value that somebody made last week
    is not due today. None if it turns out not to be due, or if its issuer does not answer now."""
    async with parts.store.view() as unit:
        if await unit.versions(credential.id):
            return credential
    try:
        await reconcile(parts, credential)
    except RetryLater as error:
        _log.info("%s: its issuer can't be asked now: %s", credential.name, error)
        async with parts.store.unit() as unit:
            await unit.save_credential(replace(credential, due_at=now + ADOPTION_PAUSE))
        return None
    except NeedsHuman:
        # The rotation itself finds the same, and parks with the cause.
        return credential
    async with parts.store.view() as unit:
        fresh = await unit.credential_by_id(credential.id)
    return fresh if fresh.due_at is not None and fresh.due_at <= now else None


async def _consider(parts: Parts, credential: Credential, now: datetime) -> Rotation | None:
    """Queue a rotation if one is due. What keeps it from starting may show only at the commit (a
    worker beside this one was quicker), and must not hold up the credentials behind it."""
    try:
        return await _queued_if_due(parts, credential, now)
    except (Busy, InputError) as error:
        _log.info("%s is due but can't start: %s", credential.name, error)
        return None


async def _queued_if_due(parts: Parts, credential: Credential, now: datetime) -> Rotation | None:
    async with parts.store.unit() as unit:
        current = await unit.current_version(credential.id)
        active = await unit.active_rotation(credential.id)
        keys = {target.key for target in credential.spec.targets}
        watches = [w for w in await unit.target_watches(credential.id) if w.target in keys]
        decision = decide(credential, current, active, now, watches)
        reason = decision.reason
        if not decision.due:
            await unit.save_credential(replace(credential, due_at=decision.until, updated_at=now))
            if reason.code is ReasonCode.OBSERVED:
                why = why_due(credential, current, now)
                await unit.append(would_rotate(parts, credential, current, why.sentence))
            elif decision.until is None:
                event = credential_event(
                    parts, credential, Action.CREDENTIAL_OVERDUE, now, why=reason.sentence
                )
                await unit.append(event)
            return None
        told = reason.sentence + (LATE_NOTE if is_late(credential, now) else "")
        wish = Wish(SCHEDULE, told, reason.code.value, Mode.NORMAL)
        await unit.append(
            credential_event(parts, credential, Action.CREDENTIAL_DUE, now, why=reason.sentence)
        )
        return await queue(parts, unit, credential, wish)


@dataclass
class Runner:
    """Advances rotations side by side, up to the concurrency limit, each at most once here.

    An emergency does not wait for routine: it has a limit of its own.
    """

    parts: Parts

    def __post_init__(self) -> None:
        self._under_way: dict[str, Mode] = {}

    async def run_ready(self) -> int:
        """Advance every rotation that wants a worker now, until none does. Gives how many."""
        done = 0
        async with asyncio.TaskGroup() as group:
            while not self.parts.stopping.is_set():
                for rotation in await self._ready():
                    self._under_way[rotation.id] = rotation.mode
                    group.create_task(self._advance(rotation.id))
                    done += 1
                if not self._under_way:
                    break
                await self.parts.clock.sleep(READY_SECONDS)
        return done

    async def _ready(self) -> Sequence[Rotation]:
        limits, busy = self.parts.limits, len(self._under_way)
        routine = sum(mode is Mode.NORMAL for mode in self._under_way.values())
        most = max(limits.concurrency, limits.emergency_concurrency)
        if busy >= most:
            return ()
        now = self.parts.clock.now()
        async with self.parts.store.view() as unit:
            found = await unit.runnable(now, most + busy)
        new = [r for r in found if r.id not in self._under_way]
        urgent = [r for r in new if r.mode is not Mode.NORMAL]
        calm = [r for r in new if r.mode is Mode.NORMAL]
        return [*urgent[: most - busy], *calm[: max(0, limits.concurrency - routine)]]

    async def _advance(self, rotation_id: str) -> None:
        try:
            if not await advance(self.parts, rotation_id):
                await self.parts.clock.sleep(1)
        except RotatorError as error:
            _log.warning("rotation %s: %s; it is taken up again soon", rotation_id, error)
            await self.parts.clock.sleep(2)
        finally:
            self._under_way.pop(rotation_id, None)


async def recover(parts: Parts) -> Sequence[str]:
    """Tell of rotations that a crash left in the middle of a step. They are claimed and go on as
    soon as the dead worker's claim runs out; nothing needs to be done for that."""
    left: list[str] = []
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        for rotation in await unit.runnable(now, _PAGE):
            steps = await unit.steps(rotation.id)
            open_steps = [s for s in steps if s.state is StepState.INTENDED]
            if not open_steps:
                continue
            left.append(rotation.id)
            credential = await unit.credential_by_id(rotation.credential_id)
            await unit.append(
                rotation_event(
                    Action.ROTATION_RECOVERED,
                    Outcome.UNKNOWN,
                    credential=credential,
                    rotation=rotation,
                    actor=parts.actor,
                    at=now,
                    detail={"open_step": open_steps[-1].name.value},
                )
            )
    return left


async def reconcile_all(parts: Parts) -> int:
    """Hold every managed credential against its issuer and its targets. Failures of one don't stop
    the others. What several of them have in common (an app's tokens, its secrets) is asked once
    in a while that is shorter than lists may lag."""
    async with parts.store.view() as unit:
        credentials = await unit.credentials(status=CredentialStatus.MANAGED)
    with parts.calls.remembering(parts.limits.list_lag / 2):
        for credential in credentials:
            if parts.stopping.is_set():
                break
            try:
                await reconcile(parts, credential)
            except RotatorError as error:
                _log.warning("reconcile %s: %s; tried again later", credential.name, error)
    return len(credentials)


async def sign(parts: Parts, signer: Signer) -> None:
    """Sign the log's head, if anything has happened since."""
    await sign_checkpoint(parts, signer)


async def heartbeat(parts: Parts, worker: WorkerRecord) -> WorkerRecord:
    """Say that this worker lives; forget workers that have been silent for a day."""
    async with parts.store.unit() as unit:
        now = await unit.database_now()
        alive = replace(worker, seen_at=now)
        await unit.save_worker(alive)
        for other in await unit.workers():
            if now - other.seen_at > timedelta(days=1):
                await unit.remove_worker(other.id)
    return alive
