"""Why something is due, not due, or refused: one table of codes, sentences and next commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ReasonCode(StrEnum):
    """The closed list. Stored in events and rotations, counted in metrics."""

    MANUAL = "manual"
    EMERGENCY = "emergency"
    TAINTED = "tainted"
    LEAKED = "leaked"
    SWEEP = "sweep"
    SCHEDULE = "schedule"
    MAX_AGE = "max-age"
    NEVER_ROTATED = "never-rotated"
    AGE_UNKNOWN = "age-unknown"
    EXPIRING = "expiring"
    VERSION_GONE = "version-gone"
    DRIFTED = "drifted"
    CREATOR_LEFT = "creator-left"
    CONTESTED = "contested"
    UNMANAGED = "unmanaged"
    OBSERVED = "observed"
    NO_SCHEDULE = "no-schedule"
    ROTATION_ACTIVE = "rotation-active"
    NOT_YET = "not-yet"
    OUTSIDE_WINDOW = "outside-window"
    BLACKOUT = "blackout"
    MISSED_WAITS = "missed-waits"
    MISSED_ALERT = "missed-alert"


LATE_NOTE: Final = ", and its time was missed"
"""Behind the reason of a rotation that is caught up with."""


@dataclass(frozen=True)
class Reason:
    """A code, one sentence for people, and the one next command where there is one."""

    code: ReasonCode
    sentence: str
    next_command: str | None = None


_TABLE: Final[Mapping[ReasonCode, tuple[str, str | None]]] = {
    ReasonCode.MANUAL: ("somebody asked for it", None),
    ReasonCode.EMERGENCY: ("somebody asked for it in an emergency", None),
    ReasonCode.TAINTED: ("it is assumed to have leaked", None),
    ReasonCode.LEAKED: ("a copy of it was found where it should not be", None),
    ReasonCode.SWEEP: ("everything that an attacker could have taken is replaced", None),
    ReasonCode.SCHEDULE: ("its schedule says so", None),
    ReasonCode.MAX_AGE: ("it has reached its maximum age", None),
    ReasonCode.NEVER_ROTATED: ("it has no value yet", None),
    ReasonCode.AGE_UNKNOWN: ("nobody knows how old its value is", None),
    ReasonCode.EXPIRING: ("its value expires before long, whatever its schedule says", None),
    ReasonCode.VERSION_GONE: ("the issuer no longer holds the value that is in use", None),
    ReasonCode.DRIFTED: ("somebody else's value stands where rotator's stood", None),
    ReasonCode.CREATOR_LEFT: ("somebody who has left made its value", None),
    ReasonCode.CONTESTED: (
        "rotator and somebody else undo each other at its target, so rotator has stopped writing",
        "rotator drift settle {name}",
    ),
    ReasonCode.UNMANAGED: ("the manifest no longer names it", "rotator plan {name}"),
    ReasonCode.OBSERVED: (
        "it is only observed, so rotator tells what it would do and does nothing",
        'take `mode = "observe"` out of the manifest',
    ),
    ReasonCode.NO_SCHEDULE: ("its policy has no schedule", "rotator rotate now {name}"),
    ReasonCode.ROTATION_ACTIVE: ("a rotation of it is under way", "rotator show {name}"),
    ReasonCode.NOT_YET: ("its time has not come", None),
    ReasonCode.OUTSIDE_WINDOW: ("its window is closed", "rotator rotate now {name}"),
    ReasonCode.BLACKOUT: ("a blackout holds", "rotator rotate now {name}"),
    ReasonCode.MISSED_WAITS: ("its time was missed, so it waits for its next window", None),
    ReasonCode.MISSED_ALERT: (
        "its time was missed, and its policy leaves the decision to a person",
        "rotator rotate now {name}",
    ),
}


def reason(code: ReasonCode, name: str) -> Reason:
    """The reason with its texts, for the credential `name`."""
    sentence, command = _TABLE[code]
    return Reason(code, sentence, command.format(name=name) if command else None)
