"""A log as a year of work leaves it: credentials with policies, rotations good and bad."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from rotator.domain.credential import Credential, CredentialSpec, CredentialStatus, TargetSpec
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.policy import Policy
from rotator.domain.rotation import Actor
from rotator.store.store import SqlStore

YEAR_END = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
WORKER = Actor("worker", "148e21.fra:1", host="148e21", machine="148e2155b21", region="fra")
SCHEDULE = Actor("schedule", "policy")
PEOPLE = tuple(
    Actor("user", f"{name}@{host}", host=host, uid=uid)
    for name, host, uid in (("ann", "laptop", 501), ("bob", "build-2", 1000), ("eve", "mbp", 502))
)
KINDS = ("secret", "secret", "deploy-token", "wireguard-peer", "org-token")
NAMES = ("session-key", "stripe-webhook", "ci-deploy", "office-gateway", "preview-apps", "smtp")
APPS = ("web", "api", "billing", "ci-runner", "mailer")
RISKS = ("critical", "high", "medium", "medium", "low", "low", "note")
EVERY = (30, 90, 14, 60, 45)


@dataclass
class Year:
    """What happens to so many credentials in so many days, from a seed."""

    credentials: int = 40
    days: int = 365
    seed: int = 1
    end: datetime = YEAR_END
    told: list[Event] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.start = self.end - timedelta(days=self.days)
        self.tracked = [self._credential(n) for n in range(self.credentials)]

    async def write(self, store: SqlStore) -> None:
        """Put all of it into a database."""
        for credential in self.tracked:
            self._life(credential)
        self._sundries()
        self._posture()
        self.told.sort(key=lambda event: event.at)
        async with store.unit() as unit:
            for credential in self.tracked:
                await unit.save_credential(credential)
        for first in range(0, len(self.told), 2000):
            async with store.unit() as unit:
                await unit.append(*self.told[first : first + 2000])

    def _credential(self, number: int) -> Credential:
        kind, app = KINDS[number % len(KINDS)], APPS[number % len(APPS)]
        name = f"{app}-{NAMES[number % len(NAMES)]}" + (f"-{number}" if number >= 30 else "")
        by_hand = number % 17 == 16
        policy = Policy(
            every=None if by_hand else timedelta(days=EVERY[number % len(EVERY)]),
            max_age=timedelta(days=100) if number % 7 == 3 else None,
        )
        key = f"fly-secret:{app}/{name.upper().replace('-', '_')}"
        spec = CredentialSpec(
            name=name,
            kind=kind,
            organization="acme",
            place=f"{kind}:{name}",
            params={},
            targets=(TargetSpec(type="fly-secret", key=key, params={}, app=app),),
            policy=policy,
            owner=("platform", "payments", None)[number % 3],
        )
        status = CredentialStatus.UNMANAGED if number % 23 == 22 else CredentialStatus.MANAGED
        at = self.start + timedelta(hours=1 + self.dice.randrange(24 * 20))
        return Credential(f"01C{number:023d}", spec, status, None, at, at)

    def _life(self, credential: Credential) -> None:
        at = credential.created_at
        self.tell(credential, Action.CREDENTIAL_ADDED, at, PEOPLE[0])
        number = int(credential.id[3:])
        adopted = {"version": f"v{number}-0", "created_at": (at - timedelta(days=9)).isoformat()}
        if number % 13 == 12:
            adopted["created_at"] = ""
        self.tell(credential, Action.VERSION_ADOPTED, at + timedelta(minutes=1), WORKER, **adopted)
        every = credential.spec.policy.every
        if number % 13 == 12 or every is None:
            return
        while (at := at + every) < self.end:
            if number % 19 == 7 and at > self.end - timedelta(days=120):
                why = "its window is closed"
                self.tell(credential, Action.CREDENTIAL_OVERDUE, at, WORKER, why=why)
                continue
            self._rotation(credential, at + timedelta(minutes=self.dice.randrange(50)))
        if credential.status is CredentialStatus.UNMANAGED:
            self.tell(credential, Action.CREDENTIAL_UNMANAGED, self.end - timedelta(days=3))

    def _rotation(self, credential: Credential, at: datetime) -> None:
        self.serial += 1
        rotation, luck = f"01R{self.serial:023d}", self.dice.random()
        emergency, failed = luck < 0.03, 0.03 <= luck < 0.08
        actor = PEOPLE[self.serial % 3] if emergency or luck > 0.95 else SCHEDULE
        reason = "its schedule says so"
        if actor is not SCHEDULE:
            reason = "value seen in a paste <script>alert(1)</script>" if emergency else "new owner"
        mode = "emergency" if emergency else "normal"
        steps = iter(self._course(failed, emergency, mode))
        for minutes, action, outcome, detail in steps:
            who = actor if action is Action.ROTATION_REQUESTED else WORKER
            who = PEOPLE[0] if action is Action.ROTATION_RETRIED else who
            moment = at + timedelta(minutes=minutes)
            if moment < self.end:
                event = self._event(credential, action, moment, who, detail)
                self.told.append(
                    replace(event, outcome=outcome, reason=reason, rotation_id=rotation)
                )

    def _course(
        self, failed: bool, emergency: bool, mode: str
    ) -> Iterator[tuple[float, Action, Outcome, dict[str, str]]]:
        info, ok, version = Outcome.INFO, Outcome.OK, {"version": f"v{self.serial}"}
        slow = self.dice.uniform(1, 12)
        code = "emergency" if emergency else "schedule"
        yield 0, Action.ROTATION_REQUESTED, info, {"mode": mode, "reason_code": code}
        yield 0.1, Action.ROTATION_STARTED, info, {"mode": mode}
        yield 0.5, Action.STEP_DONE, ok, {"step": "mint", "attempt": "1"}
        if failed:
            cause = {"cause": "web: 148e44 failed its health check: HTTP 503 at /healthz"}
            if self.dice.random() < 0.5:
                yield slow, Action.ROTATION_UNDOING, info, cause
                yield slow * 2, Action.ROTATION_ROLLED_BACK, ok, {}
                return
            yield slow, Action.ROTATION_PARKED, Outcome.FAILED, cause
            if self.dice.random() < 0.3:
                return
            yield slow * 20, Action.ROTATION_RETRIED, info, {}
            slow *= 21
        yield slow, Action.VERSION_PROMOTED, ok, version
        overlap = 0.3 if emergency else 24 * 60
        yield slow + overlap, Action.VERSION_REVOKED, ok, {"version": "old", "evidence": "refused"}
        yield slow + overlap, Action.ROTATION_SUCCEEDED, ok, {"api_calls": "31"}

    def _sundries(self) -> None:
        first, last = self.tracked[0], self.tracked[-1]
        detail = {"source": "rotator.toml", "added": first.name, "changed": "", "removed": ""}
        self.tell(None, Action.MANIFEST_APPLIED, self.start + timedelta(hours=1), WORKER, **detail)
        later = self.end - timedelta(days=40)
        changes = {"changes": "policy.every: 30d → 90d; policy.max_age: none → 100d"}
        self.tell(first, Action.CREDENTIAL_CHANGED, later, PEOPLE[1], **changes)
        expiry = {"expires_at": (self.end + timedelta(days=4)).isoformat()}
        self.tell(last, Action.VERSION_EXPIRING, self.end - timedelta(days=2), WORKER, **expiry)
        left = {"issued_as": "rotator-01R00000042"}
        self.tell(first, Action.LEFTOVER_REVOKED, later + timedelta(days=9), WORKER, **left)
        for day in range(0, self.days, 60):
            at = self.start + timedelta(days=day, hours=2)
            self.tell(None, Action.WORKER_STARTED, at, WORKER, worker=WORKER.name, host="148e21")

    def _posture(self) -> None:
        """A look every third day: findings come, and most of them are mended after a while."""
        dice, serial = random.Random(self.seed), 0
        standing: list[tuple[int, str]] = []
        for day in range(20, self.days, 3):
            at = self.start + timedelta(days=day, hours=4)
            for _ in range(14 if day == 20 else dice.choice((0, 0, 1, 1, 2, 5))):
                serial += 1
                standing.append((serial, dice.choice(RISKS)))
                self._finding(Action.POSTURE_OPENED, at, *standing[-1])
            for found in [each for each in standing if dice.random() < 0.12]:
                standing.remove(found)
                self._finding(Action.POSTURE_RESOLVED, at, *found)
            counts = Counter(severity for _, severity in standing)
            detail = {f"open_{severity}": str(counts[severity]) for severity in set(RISKS)}
            later = at + timedelta(minutes=2)
            event = self._event(None, Action.POSTURE_LOOKED, later, WORKER, detail)
            self.told.append(replace(event, organization="acme", outcome=Outcome.OK))

    def _finding(self, action: Action, at: datetime, number: int, severity: str) -> None:
        detail = {
            "finding": f"{number:032x}",
            "rule": "secret-too-old",
            "severity": severity,
            "subject": f"secret:{APPS[number % len(APPS)]}/KEY_{number}",
        }
        event = self._event(None, action, at, WORKER, detail)
        reason = f"KEY_{number} was last changed <b>400 days</b> ago"
        self.told.append(replace(event, organization="acme", reason=reason))

    def tell(
        self,
        credential: Credential | None,
        action: Action,
        at: datetime,
        actor: Actor = WORKER,
        **detail: str,
    ) -> None:
        """Add an event."""
        self.told.append(self._event(credential, action, at, actor, detail))

    @staticmethod
    def _event(
        credential: Credential | None,
        action: Action,
        at: datetime,
        actor: Actor,
        detail: dict[str, str],
    ) -> Event:
        spec = credential.spec if credential is not None else None
        return Event(
            action=action,
            outcome=Outcome.INFO,
            actor=actor,
            at=at,
            credential=spec.name if spec else None,
            kind=spec.kind if spec else None,
            organization=spec.organization if spec else None,
            app=spec.targets[0].app if spec else None,
            detail=detail,
        )
