"""Which class and activity of OCSF an action becomes: the table that docs/ocsf.md is made from.

Classes, activities and their numbers: Open Cybersecurity Schema Framework 1.5.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rotator.domain.events import Action, Outcome
from rotator.domain.rotation import StepName

SCHEMA: Final = "1.5.0"


class OcsfClass(IntEnum):
    """The classes that are used."""

    EVENT_LOG_ACTIVITY = 1008
    COMPLIANCE_FINDING = 2003
    ENTITY_MANAGEMENT = 3004
    APPLICATION_LIFECYCLE = 6002
    API_ACTIVITY = 6003

    @property
    def caption(self) -> str:
        """The class's name in the schema."""
        return self.name.replace("_", " ").title().replace("Api", "API")


CATEGORIES: Final = {
    1: "System Activity",
    2: "Findings",
    3: "Identity & Access Management",
    6: "Application Activity",
}
OTHER: Final = 99
ACTIVITIES: Final[Mapping[OcsfClass, Mapping[int, str]]] = {
    OcsfClass.EVENT_LOG_ACTIVITY: {4: "Archive"},
    OcsfClass.COMPLIANCE_FINDING: {1: "Create", 2: "Update", 3: "Close"},
    OcsfClass.ENTITY_MANAGEMENT: {
        1: "Create",
        2: "Read",
        3: "Update",
        4: "Delete",
        6: "Enroll",
        7: "Unenroll",
        10: "Activate",
        12: "Suspend",
        13: "Resume",
    },
    OcsfClass.APPLICATION_LIFECYCLE: {3: "Start", 4: "Stop"},
    OcsfClass.API_ACTIVITY: {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
}


@dataclass(frozen=True)
class Mapped:
    """What an action is in OCSF. `entity` is the type of what is managed."""

    ocsf_class: OcsfClass
    activity: int
    entity: str = ""


def _entity(kind: str, **activities: int) -> dict[Action, Mapped]:
    return {
        Action(f"{kind}.{verb.replace('_', '-')}"): Mapped(
            OcsfClass.ENTITY_MANAGEMENT, activity, kind
        )
        for verb, activity in activities.items()
    }


def _calls(kind: str, **activities: int) -> dict[Action, Mapped]:
    return {
        Action(f"{kind}.{verb}"): Mapped(OcsfClass.API_ACTIVITY, activity)
        for verb, activity in activities.items()
    }


def _findings(**activities: int) -> dict[Action, Mapped]:
    return {
        Action(f"posture.{verb}"): Mapped(OcsfClass.COMPLIANCE_FINDING, activity, "finding")
        for verb, activity in activities.items()
    }


CREATE, READ, UPDATE, DELETE, ENROLL, UNENROLL = 1, 2, 3, 4, 6, 7
ACTIVATE, SUSPEND, RESUME = 10, 12, 13
MAPPING: Final[Mapping[Action, Mapped]] = {
    **_entity("manifest", applied=UPDATE),
    **_entity(
        "credential",
        added=CREATE,
        changed=UPDATE,
        unmanaged=UNENROLL,
        due=OTHER,
        overdue=OTHER,
        would_rotate=OTHER,
        tainted=UPDATE,
        creator_left=UPDATE,
    ),
    **_entity(
        "version",
        adopted=ENROLL,
        promoted=ACTIVATE,
        revoked=DELETE,
        discarded=DELETE,
        expiring=OTHER,
        expired=OTHER,
        too_old=OTHER,
        gone=OTHER,
    ),
    **_entity("target", changed=UPDATE, contested=SUSPEND, settled=RESUME),
    # Activities of findings have numbers of their own: create, update, close.
    **_findings(opened=1, reopened=2, changed=2, suppressed=2, resolved=3),
    Action.POSTURE_LOOKED: Mapped(OcsfClass.API_ACTIVITY, READ),
    **_entity("certificate", expiring=OTHER, expired=OTHER, renewed=UPDATE),
    **_calls("certificate", checking=UPDATE, checked=UPDATE),
    **_entity(
        "leak",
        reported=READ,
        revoked=DELETE,
        waiting=SUSPEND,
        approved=RESUME,
        refused=UPDATE,
        lapsed=UPDATE,
        ended=UPDATE,
    ),
    **_entity("hook", received=READ, rejected=OTHER),
    **_entity("leftover", found=READ, revoked=DELETE),
    **_entity(
        "rotation",
        requested=CREATE,
        started=ACTIVATE,
        undoing=UPDATE,
        succeeded=UPDATE,
        rolled_back=UPDATE,
        parked=SUSPEND,
        retried=RESUME,
        aborted=UPDATE,
        undo_requested=UPDATE,
        recovered=UPDATE,
    ),
    # The step in the event's detail says which activity it is.
    **_calls("step", intended=UPDATE, done=UPDATE, waiting=UPDATE, failed=UPDATE),
    **_entity(
        "rollout",
        started=CREATE,
        ended=UPDATE,
        paused=SUSPEND,
        resumed=RESUME,
        waiting=UPDATE,
        overtaken=UPDATE,
    ),
    **_calls("release", creating=CREATE, created=CREATE, ended=READ),
    **_calls("rehearsal", started=CREATE, ended=DELETE),
    **_calls(
        "machine",
        draining=UPDATE,
        updating=UPDATE,
        cloning=CREATE,
        replaced=UPDATE,
        destroying=DELETE,
        destroyed=DELETE,
        restarted=UPDATE,
    ),
    Action.KEYS_REWRAPPED: Mapped(OcsfClass.ENTITY_MANAGEMENT, UPDATE, "keys"),
    Action.WORKER_STARTED: Mapped(OcsfClass.APPLICATION_LIFECYCLE, 3),
    Action.WORKER_STOPPED: Mapped(OcsfClass.APPLICATION_LIFECYCLE, 4),
    Action.CHECKPOINT_SIGNED: Mapped(OcsfClass.EVENT_LOG_ACTIVITY, OTHER),
    Action.AUDIT_ARCHIVED: Mapped(OcsfClass.EVENT_LOG_ACTIVITY, 4),
    Action.DELIVERY_FAILING: Mapped(OcsfClass.EVENT_LOG_ACTIVITY, OTHER),
    Action.DELIVERY_RESUMED: Mapped(OcsfClass.EVENT_LOG_ACTIVITY, OTHER),
}
STEPS: Final[Mapping[str, int]] = {
    StepName.MINT: CREATE,
    StepName.PROVE: READ,
    StepName.DELIVER: UPDATE,
    StepName.ROLL_OUT: UPDATE,
    StepName.CONFIRM: READ,
    StepName.PROMOTE: UPDATE,
    StepName.RETIRE: DELETE,
    StepName.RESTORE: UPDATE,
    StepName.ROLL_BACK: UPDATE,
    StepName.DISCARD: DELETE,
}
STATUSES: Final[Mapping[Outcome, tuple[int, str]]] = {
    Outcome.OK: (1, "Success"),
    Outcome.FAILED: (2, "Failure"),
    Outcome.UNKNOWN: (0, "Unknown"),
    Outcome.INTENT: (OTHER, "intent"),
    Outcome.WAITING: (OTHER, "waiting"),
    Outcome.INFO: (OTHER, "info"),
}
FINDING_STATUSES: Final[Mapping[Action, tuple[int, str]]] = {
    Action.POSTURE_OPENED: (1, "New"),
    Action.POSTURE_REOPENED: (1, "New"),
    Action.POSTURE_CHANGED: (2, "In Progress"),
    Action.POSTURE_SUPPRESSED: (3, "Suppressed"),
    Action.POSTURE_RESOLVED: (4, "Resolved"),
}
"""A finding has a status of its own, whatever the outcome of the event."""
SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
FINDING_SEVERITIES: Final = {"note": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
SEVERE: Final[Mapping[Action, int]] = {
    Action.ROTATION_PARKED: 4,
    Action.VERSION_GONE: 4,
    Action.VERSION_EXPIRED: 4,
    Action.CERTIFICATE_EXPIRED: 4,
    Action.CREDENTIAL_TAINTED: 4,
    Action.LEAK_REPORTED: 4,
    Action.LEAK_WAITING: 4,
    Action.LEAK_LAPSED: 4,
    Action.HOOK_REJECTED: 3,
    Action.TARGET_CONTESTED: 4,
    Action.TARGET_CHANGED: 3,
    Action.CREDENTIAL_CREATOR_LEFT: 3,
    Action.VERSION_TOO_OLD: 3,
    Action.ROTATION_ROLLED_BACK: 3,
    Action.ROTATION_UNDOING: 3,
    Action.CREDENTIAL_OVERDUE: 3,
    Action.VERSION_EXPIRING: 3,
    Action.CERTIFICATE_EXPIRING: 3,
    Action.LEFTOVER_FOUND: 2,
    Action.ROTATION_RECOVERED: 2,
}


_ATTRIBUTES: Final = (
    ("`time`", "`at`, in milliseconds since 1970"),
    ("`metadata.uid`", "the log's name and `sequence`: the same event always has the same"),
    ("`metadata.sequence`", "`sequence`"),
    ("`metadata.event_code`", "`action`"),
    ("`metadata.correlation_uid`", "`rotation_id`, else `rollout_id`"),
    ("`metadata.log_name`", "the log's name, as checkpoints have it"),
    ("`status_id`, `status`", "`outcome`, see below"),
    ("`status_detail`", "`detail.error`, else `detail.cause`"),
    ("`actor.user`", "`actor_name` and `actor_uid` of a person; the service for all others"),
    ("`src_endpoint`", "`actor_host`, `actor_machine`"),
    ("`comment`", "`reason` (Entity Management)"),
    ("`entity`", "what is managed: name, type, and its id (Entity Management)"),
    ("`finding_info`", "fingerprint, rule, what is wrong, since when (Compliance Finding)"),
    ("`compliance`", "the rule as its control, and whether it holds (Compliance Finding)"),
    ("`remediation`", "the command or patch that mends it (Compliance Finding)"),
    ("`api.operation`", "the step, else the action (API Activity)"),
    ("`api.request.uid`", "`request_id` (API Activity)"),
    ("`resources`", "`credential`, `app`, `target`, `machine`; of a finding its subject"),
    ("`unmapped`", "every other field, `detail`, and the chain's hashes"),
)


def ocsf_markdown() -> str:
    """The mapping as docs/ocsf.md has it."""
    return "\n".join(_markdown()) + "\n"


def _markdown() -> Iterator[str]:
    yield "# Events in OCSF"
    yield ""
    yield f"Schema {SCHEMA}. Made by `rotator audit schema --ocsf`; don't edit."
    yield ""
    yield "`type_uid` is the class times 100 plus the activity. A step has the activity of what it"
    yield "does at the issuer or target."
    yield ""
    yield "| action | class | activity | entity |"
    yield "|---|---|---|---|"
    for action in Action:
        mapped = MAPPING[action]
        name = ACTIVITIES[mapped.ocsf_class].get(mapped.activity, "Other")
        activity = "by step" if action.value.startswith("step.") else f"{name} ({mapped.activity})"
        told = f"{mapped.ocsf_class.caption} ({int(mapped.ocsf_class)})"
        yield f"| `{action}` | {told} | {activity} | {mapped.entity} |"
    yield ""
    yield "| step | activity |"
    yield "|---|---|"
    for step, activity_id in STEPS.items():
        caption = ACTIVITIES[OcsfClass.API_ACTIVITY][activity_id]
        yield f"| `{StepName(step).value}` | {caption} ({activity_id}) |"
    yield ""
    yield "| outcome | status |"
    yield "|---|---|"
    yield from (f"| `{each}` | {told} ({uid}) |" for each, (uid, told) in STATUSES.items())
    yield ""
    yield "| finding | status |"
    yield "|---|---|"
    yield from (f"| `{a}` | {told} ({uid}) |" for a, (uid, told) in FINDING_STATUSES.items())
    yield ""
    yield "A finding has its own severity, from Informational (1) to Critical (5). Of all else"
    yield "severity is Informational (1); Low (2) for an unknown outcome; Medium (3) for a failure;"
    yield "and at least, whatever the outcome:"
    yield ""
    yield "| action | severity |"
    yield "|---|---|"
    yield from (f"| `{a}` | {SEVERITIES[uid]} ({uid}) |" for a, uid in SEVERE.items())
    yield ""
    yield "| attribute | from |"
    yield "|---|---|"
    yield from (f"| {attribute} | {source} |" for attribute, source in _ATTRIBUTES)
