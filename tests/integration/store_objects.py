"""Domain objects as a database is given them: fixed ids, fixed times, nothing random.

`a_...` is a plain one, `a_full_...` one in which no field has its default, so that a field that
the store forgets can't go unnoticed (`unset` says which ones a builder has missed).
"""

from __future__ import annotations

import base64
import dataclasses
import os
from datetime import UTC, datetime, time, timedelta
from typing import Any

from rotator.domain.credential import (
    Credential,
    CredentialMode,
    CredentialSpec,
    CredentialStatus,
    Issued,
    TargetSpec,
    Version,
    VersionState,
)
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.policy import (
    Asleep,
    Blackout,
    DisruptionBudget,
    Mend,
    Missed,
    OnFailure,
    Order,
    Policy,
    Probe,
    Rehearsal,
    RolloutPolicy,
    Share,
    Strategy,
    Window,
)
from rotator.domain.rotation import (
    Actor,
    MachineRestart,
    Mode,
    Parked,
    RestartState,
    Rollout,
    RolloutState,
    Rotation,
    RotationState,
    Step,
    StepName,
    StepState,
)
from rotator.domain.secret import Secret
from rotator.store.sealing import KeyRing

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
TTL = timedelta(seconds=60)
SPENT = timedelta(seconds=-1)
"""A time to live that is over at once, by whichever clock the database goes."""
A_KEY = base64.b64encode(bytes(range(32))).decode()
ANOTHER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
VALUE = "plain-text-that-nobody-may-ever-read"


class SettableClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Nobody waits; time passes at once."""
        self.advance(timedelta(seconds=seconds))

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self._now += span


def a_ring(*keys: str) -> KeyRing:
    """A key ring; without keys it holds the one that the fixture `store` uses."""
    return KeyRing([Secret(key) for key in keys or (A_KEY,)], os.urandom)


def an_id(number: int, table: int = 0) -> str:
    """An id in the form of a ULID; a greater number sorts later."""
    return f"01JQ{table:02d}{number:020d}"


def minutes(count: float) -> timedelta:
    """A span."""
    return timedelta(minutes=count)


def unset(thing: object) -> list[str]:
    """Fields of a dataclass that have their default or are None."""
    assert dataclasses.is_dataclass(thing)
    found = []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if value is None or value == default:
            found.append(field.name)
    return found


def a_spec(name: str = "session", **changes: Any) -> CredentialSpec:
    """What a short manifest says of a credential."""
    plain = CredentialSpec(
        name=name,
        kind="secret",
        organization="acme",
        place=f"secret:{name}",
        params={"bytes": 32},
        targets=(),
        policy=Policy(every=timedelta(days=30)),
    )
    return dataclasses.replace(plain, **changes)


def a_full_rollout_policy() -> RolloutPolicy:
    """A rollout policy without a default."""
    return RolloutPolicy(
        strategy=Strategy.NONE,
        groups=("app", "worker"),
        max_unavailable=Share(count=2),
        allow_single=True,
        order=Order.SPREAD,
        first=("fra",),
        last=("iad", "sin"),
        stagger=timedelta(seconds=1, microseconds=1),
        canary=3,
        canary_soak=timedelta(minutes=3),
        smoke=timedelta(seconds=4),
        soak=timedelta(minutes=4),
        drain=timedelta(seconds=9),
        probe=Probe(8080, "/healthz", 204, timedelta(seconds=2)),
        rehearsal=Rehearsal(("/bin/app", "check"), timedelta(seconds=20)),
        asleep=Asleep.NEXT_START,
        start_timeout=timedelta(minutes=6),
        health_timeout=timedelta(days=400, microseconds=7),
        on_failure=OnFailure.PAUSE,
        failure_budget=Share(percent=5),
        max_wait=timedelta(days=3),
        deadline=timedelta(days=4),
        max_rollouts_per_day=6,
        coalesce=timedelta(minutes=7),
        release=False,
        disruption=DisruptionBudget(9, 8, 7, 6),
    )


def a_full_policy() -> Policy:
    """A policy without a default."""
    return Policy(
        every=timedelta(days=45, hours=1, microseconds=3),
        cron="0 3 * * 1",
        zone="Europe/Berlin",
        window=Window(frozenset({0, 4, 6}), time(23, 30), timedelta(hours=5), "Asia/Tokyo"),
        blackouts=(Blackout(NOW, NOW + HOUR, "freeze"), Blackout(NOW + 2 * HOUR, NOW + 3 * HOUR)),
        jitter=timedelta(minutes=17),
        overlap=timedelta(hours=3),
        max_age=timedelta(days=90),
        missed=Missed.ALERT,
        on_gone=Mend.REPORT,
        on_drift=Mend.ROTATE,
    )


def a_full_spec(name: str = "session") -> CredentialSpec:
    """A spec without a default; its parameters have every type that a manifest can give."""
    target = TargetSpec(
        type="fly-secret",
        key="fly-secret:web/SESSION_KEY",
        params={"app": "web", "name": "SESSION_KEY"},
        app="web",
        rollout=a_full_rollout_policy(),
    )
    params = {"text": "32", "whole": 1, "yes": True, "no": False, "many": ("a", "b"), "none": ()}
    return a_spec(
        name,
        params=params,
        targets=(target, TargetSpec("file", "file:/etc/key", {"path": "/etc/key"})),
        policy=a_full_policy(),
        owner="team-web <web@example.com>",
        runbook="https://example.com/runbook?q=ü%27",
        mode=CredentialMode.OBSERVE,
        derived_from=("ci-web",),
    )


def a_credential(number: int = 1, **changes: Any) -> Credential:
    """A managed credential that is due since an hour."""
    plain = Credential(
        id=an_id(number, 1),
        spec=a_spec(f"credential-{number}"),
        status=CredentialStatus.MANAGED,
        due_at=NOW - HOUR,
        created_at=NOW - 2 * HOUR,
        updated_at=NOW - HOUR,
    )
    return dataclasses.replace(plain, **changes)


def a_full_issued() -> Issued:
    """What an issuer may tell at most."""
    return Issued(
        ref="tok_1",
        name="rotator-session",
        facts={"peer_ip": "fdaa::3", "quote": 'it\'s "ü"'},
        created_at=NOW - HOUR,
        expires_at=NOW + HOUR + timedelta(microseconds=1),
    )


def a_version(number: int = 1, *, of: Credential | None = None, **changes: Any) -> Version:
    """A pending version of the first credential, or of the one that is given."""
    plain = Version(
        id=an_id(number, 2),
        credential_id=(of or a_credential()).id,
        rotation_id=an_id(number, 3),
        state=VersionState.PENDING,
        issued=None,
        sealed=False,
        created_at=NOW,
    )
    return dataclasses.replace(plain, **changes)


def a_rotation(number: int = 1, *, of: Credential | None = None, **changes: Any) -> Rotation:
    """A rotation that waits for a worker."""
    credential = of or a_credential()
    plain = Rotation(
        id=an_id(number, 3),
        credential_id=credential.id,
        credential_name=credential.name,
        state=RotationState.QUEUED,
        mode=Mode.NORMAL,
        actor=Actor("schedule", "rotator"),
        reason="it is due",
        reason_code="due",
        old_version_id=None,
        new_version_id=None,
        requested_at=NOW,
        resume_at=NOW,
    )
    return dataclasses.replace(plain, **changes)


def a_full_rotation(number: int = 1) -> Rotation:
    """A rotation without a default, but for the request to abort: that one has its own way in."""
    return a_rotation(
        number,
        state=RotationState.PARKED,
        mode=Mode.REVOKE_FIRST,
        actor=Actor("user", "ann@laptop uid=501"),
        old_version_id=an_id(8, 2),
        new_version_id=an_id(9, 2),
        resume_at=NOW + minutes(1),
        started_at=NOW + minutes(2),
        ended_at=NOW + minutes(3),
        remints=4,
        parked=Parked("the issuer said no", "the old value works", "rotator rotate retry"),
        api_calls=5,
    )


def a_step(position: int = 1, *, of: Rotation | None = None, **changes: Any) -> Step:
    """A planned step."""
    rotation = of or a_rotation()
    plain = Step(
        id=an_id(int(rotation.id[-6:]) * 100 + position, 4),
        rotation_id=rotation.id,
        position=position,
        name=StepName.MINT,
        subject="",
        state=StepState.PLANNED,
    )
    return dataclasses.replace(plain, **changes)


def a_full_step(position: int = 1) -> Step:
    """A step without a default."""
    return a_step(
        position,
        name=StepName.ROLL_OUT,
        subject="web",
        state=StepState.WAITING,
        attempt=3,
        intent_at=NOW + minutes(1),
        outcome_at=NOW + minutes(2),
        not_before=NOW + minutes(3),
        detail={"digest": "abc", "note": 'ü "quoted"'},
        error="a machine is slow",
        request_id="01REQUEST-fra",
    )


def a_rollout(number: int = 1, **changes: Any) -> Rollout:
    """A running rollout of the app `web`."""
    plain = Rollout(
        id=an_id(number, 5),
        app="web",
        secrets_version=7,
        policy=RolloutPolicy(),
        state=RolloutState.RUNNING,
        waves=2,
        started_at=NOW,
    )
    return dataclasses.replace(plain, **changes)


def a_restart(machine: str = "m1", *, of: Rollout | None = None, **changes: Any) -> MachineRestart:
    """A machine that is yet to be restarted."""
    plain = MachineRestart(
        rollout_id=(of or a_rollout()).id,
        machine_id=machine,
        machine_name=f"name-of-{machine}",
        region="fra",
        process_group="app",
        wave=1,
        state=RestartState.PLANNED,
        old_instance_id="instance-1",
    )
    return dataclasses.replace(plain, **changes)


def an_event(number: int = 1, **changes: Any) -> Event:
    """An event with little in it; its reason carries the number."""
    plain = Event(
        action=Action.ROTATION_REQUESTED,
        outcome=Outcome.OK,
        actor=Actor("schedule", "rotator"),
        at=NOW + minutes(number),
        reason=f"event {number}",
    )
    return dataclasses.replace(plain, **changes)


def a_full_event() -> Event:
    """An event without a default."""
    return an_event(
        actor=Actor("worker", "host:1234"),
        credential="session",
        kind="secret",
        organization="acme",
        app="web",
        target="fly-secret:web/SESSION_KEY",
        machine="m1",
        rotation_id=an_id(1, 3),
        rollout_id=an_id(1, 5),
        request_id="01REQUEST-fra",
        detail={"digest": "abc", "note": 'ü "quoted"'},
    )
