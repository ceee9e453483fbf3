"""Which controls of audits ask for what rotator's evidence shows, and the commands behind it.

The sentences are ours; the standards' own words are theirs. Sources: AICPA Trust Services Criteria
2017 (revised points of focus 2022), PCI DSS 4.0.1, ISO/IEC 27001:2022 Annex A, NIST SP 800-57
Part 1 Revision 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.ages import LIFE_ACTIONS
from rotator.domain.courses import COURSE_ACTIONS, Period

PCI_LONGEST: Final = timedelta(days=90)
"""PCI DSS 8.3.9: where a password is the only factor, it is changed at least this often."""


class Section(StrEnum):
    """The tables of a report, in their order."""

    INVENTORY = "inventory"
    ROTATIONS = "rotations"
    EMERGENCIES = "emergencies"
    FAILURES = "failures"
    EXCEPTIONS = "exceptions"
    POSTURE = "posture"
    CHANGES = "changes"
    PEOPLE = "people"
    WORKERS = "workers"


TITLES: Final[Mapping[Section, str]] = {
    Section.INVENTORY: "Inventory and ages",
    Section.ROTATIONS: "Rotations",
    Section.EMERGENCIES: "Emergency rotations",
    Section.FAILURES: "Failures and how they ended",
    Section.EXCEPTIONS: "Exceptions in the period",
    Section.POSTURE: "Security posture",
    Section.CHANGES: "Changes of manifest and policies",
    Section.PEOPLE: "What people did",
    Section.WORKERS: "Workers",
}
FILTERS: Final[Mapping[Section, str]] = {
    Section.INVENTORY: f"--action {LIFE_ACTIONS}",
    Section.ROTATIONS: f"--action {COURSE_ACTIONS}",
    Section.EMERGENCIES: "--action rotation.requested --text emergency",
    Section.FAILURES: "--action rotation.parked,rotation.undoing,rotation.recovered",
    Section.EXCEPTIONS: "--action credential.overdue,version.expiring,version.gone,leftover,"
    "rollout.waiting,rollout.overtaken",
    Section.POSTURE: "--action posture.opened,posture.reopened,posture.changed,"
    "posture.suppressed,posture.resolved",
    Section.CHANGES: "--action manifest,credential.added,credential.changed,"
    "credential.unmanaged,version.adopted",
    Section.PEOPLE: "--actor user --action manifest,rotation.requested,rotation.retried,"
    "rotation.aborted,rotation.undo-requested,rollout.paused,rollout.resumed,audit",
    Section.WORKERS: "--action worker,audit",
}
"""The options of `rotator audit` that give the events which a section rests on."""


def command(section: Section, period: Period) -> str:
    """The command that shows the events behind a section."""
    since = "" if section is Section.INVENTORY else f" --since {_time(period.since)}"
    return f"rotator audit {FILTERS[section]}{since} --until {_time(period.until)} --json"


def _time(at: datetime) -> str:
    """As `rotator audit` reads it; a date alone is its midnight in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z")


@dataclass(frozen=True)
class Control:
    """One control: what it asks, in our words, and the sections that answer it."""

    framework: str
    number: str
    asks: str
    sections: tuple[Section, ...]
    measure: str


_S = Section
CONTROLS: Final = (
    Control(
        "SOC 2",
        "CC6.1",
        "Logical access to what is protected is restricted, and the credentials that give it are "
        "known, managed through their life and protected.",
        (_S.INVENTORY, _S.ROTATIONS, _S.CHANGES, _S.PEOPLE),
        "ages",
    ),
    Control(
        "SOC 2",
        "CC6.6",
        "Threats from outside the boundary are met: credentials that cross it can be replaced and "
        "revoked at once, and it is shown that the old ones no longer work.",
        (_S.EMERGENCIES, _S.FAILURES, _S.WORKERS),
        "emergencies",
    ),
    Control(
        "PCI DSS 4",
        "8.3.9",
        "A password that is the only factor is changed at least every 90 days.",
        (_S.INVENTORY, _S.ROTATIONS),
        "pci",
    ),
    Control(
        "PCI DSS 4",
        "8.6.3",
        "Passwords of applications and systems are changed as often as the entity's own risk "
        "analysis says, and when they may have been compromised.",
        (_S.INVENTORY, _S.ROTATIONS, _S.EMERGENCIES),
        "ages",
    ),
    Control(
        "PCI DSS 4",
        "3.7.4",
        "Cryptographic keys are changed when their cryptoperiod ends.",
        (_S.INVENTORY, _S.ROTATIONS),
        "ages",
    ),
    Control(
        "ISO/IEC 27001:2022",
        "A.5.17",
        "Authentication information is allocated and managed by a process, and who changed what is "
        "on record.",
        (_S.ROTATIONS, _S.CHANGES, _S.PEOPLE, _S.EXCEPTIONS),
        "record",
    ),
    Control(
        "NIST SP 800-57 Part 1",
        "5.3",
        "Each key has a cryptoperiod, and is not used beyond it.",
        (_S.INVENTORY, _S.ROTATIONS, _S.EXCEPTIONS),
        "ages",
    ),
)
