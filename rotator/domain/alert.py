"""A leak of which a hook was told, from its arrival until the value is worth nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.hook import Respond, Untracked
from rotator.domain.leak import Course
from rotator.domain.rotation import Actor


class AlertState(StrEnum):
    """Where an alert stands. The table below says what each one waits for."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    APPROVED = "approved"
    REVOKING = "revoking"
    PROVING = "proving"
    DONE = "done"
    TOLD = "told"
    REFUSED = "refused"
    LAPSED = "lapsed"
    FAILED = "failed"


S = AlertState
TRANSITIONS: Final[Mapping[AlertState, frozenset[AlertState]]] = {
    S.ACCEPTED: frozenset({S.WAITING, S.REVOKING, S.PROVING, S.DONE, S.TOLD, S.FAILED}),
    S.WAITING: frozenset({S.APPROVED, S.REFUSED, S.LAPSED, S.DONE}),
    S.APPROVED: frozenset({S.REVOKING, S.PROVING, S.DONE, S.FAILED}),
    S.REVOKING: frozenset({S.PROVING, S.DONE, S.FAILED}),
    S.PROVING: frozenset({S.DONE, S.FAILED}),
}
"""What may follow. What is not a key here has ended."""
ENDED_ALERTS: Final = frozenset(AlertState) - frozenset(TRANSITIONS)
OPEN_ALERTS: Final = frozenset(TRANSITIONS)


class Plan(StrEnum):
    """What a sender is told will happen."""

    ROTATE = "rotate"
    REVOKE = "revoke"
    APPROVE = "wait-for-approval"
    TELL = "tell"
    LOOK = "look-up"
    NOTHING = "nothing"


PLANS: Final[Mapping[Plan, str]] = {
    Plan.ROTATE: "the value is replaced and revoked now",
    Plan.REVOKE: "the value is revoked now",
    Plan.APPROVE: "a person has to approve it; they are told",
    Plan.TELL: "it is written to the audit log; nothing is revoked",
    Plan.LOOK: "rotator looks for what it is, and acts by the hook's policy",
    Plan.NOTHING: "the value is worth nothing already",
}


@dataclass(frozen=True)
class Alert:
    """One leak that was reported.

    `respond`, `untracked` and `approve_within` are the hook's policy as it was then. `source` is
    where the value can be asked for. `resume_at` is when it next wants a worker, None once ended;
    `expires_at` is when nobody can approve it any more, `began_at` when something was begun.
    `note` is the last thing that can be told of it; it holds no value.
    """

    id: str
    hook: str
    state: AlertState
    respond: Respond
    untracked: Untracked
    approve_within: timedelta
    place: str
    sort: str
    received_at: datetime
    resume_at: datetime | None
    source: str = ""
    credential_id: str | None = None
    version_id: str | None = None
    course: Course | None = None
    rotation_id: str | None = None
    began_at: datetime | None = None
    expires_at: datetime | None = None
    attempts: int = 0
    note: str = ""
    decided_by: Actor | None = None
    decided_at: datetime | None = None
    reason: str = ""


def plan_of(alert: Alert) -> Plan:
    """What will happen, as an alert stands after it was first looked at."""
    match alert.state:
        case AlertState.ACCEPTED:
            return Plan.LOOK
        case AlertState.WAITING | AlertState.APPROVED:
            return Plan.APPROVE
        case AlertState.TOLD | AlertState.REFUSED | AlertState.LAPSED | AlertState.FAILED:
            return Plan.TELL
        case _ if alert.course in (Course.ROTATE, Course.HASTEN, Course.TURN_BACK):
            return Plan.ROTATE
        case AlertState.DONE:
            return Plan.NOTHING
        case _:
            return Plan.REVOKE
