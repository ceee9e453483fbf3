"""Events in the form of the Open Cybersecurity Schema Framework, for whatever collects logs.

Required attributes: OCSF schema 1.5.0. What OCSF has no attribute for is under `unmapped`, as the
schema wants it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from rotator.domain.event_fields import typed_detail
from rotator.domain.events import Action, Event, LoggedEvent, Outcome
from rotator.domain.ocsf_table import (
    ACTIVITIES,
    CATEGORIES,
    FINDING_SEVERITIES,
    FINDING_STATUSES,
    MAPPING,
    SCHEMA,
    SEVERE,
    SEVERITIES,
    STATUSES,
    STEPS,
    Mapped,
    OcsfClass,
)
from rotator.domain.rotation import Actor, ActorKind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
Record = dict[str, object]


def severity_of(event: Event) -> int:
    """How bad it is: 1 for what goes as it should, up to 4 for what waits for a person; a finding
    has its own, up to 5."""
    if event.action in FINDING_STATUSES:
        return FINDING_SEVERITIES.get(event.detail.get("severity", ""), 1)
    told = SEVERE.get(event.action, 1)
    return max(told, {Outcome.FAILED: 3, Outcome.UNKNOWN: 2}.get(event.outcome, 1))


def ocsf_event(logged: LoggedEvent, *, origin: str, version: str) -> Record:
    """An event as an OCSF record. `origin` is the log's name, `version` rotator's own."""
    event = logged.event
    mapped = MAPPING[event.action]
    activity = _activity(event, mapped)
    caption = ACTIVITIES[mapped.ocsf_class].get(activity, event.action.value)
    status, told = FINDING_STATUSES.get(event.action, STATUSES[event.outcome])
    severity = severity_of(event)
    category = mapped.ocsf_class // 1000
    record: Record = {
        "category_uid": category,
        "category_name": CATEGORIES[category],
        "class_uid": int(mapped.ocsf_class),
        "class_name": mapped.ocsf_class.caption,
        "activity_id": activity,
        "activity_name": caption,
        "type_uid": mapped.ocsf_class * 100 + activity,
        "type_name": f"{mapped.ocsf_class.caption}: {caption}",
        "time": (event.at - _EPOCH) // _MILLISECOND,
        "severity_id": severity,
        "severity": SEVERITIES[severity],
        "status_id": status,
        "status": told,
        "status_detail": event.detail.get("error") or event.detail.get("cause"),
        "message": _message(event),
        "metadata": _metadata(logged, origin, version),
        **_about(event, mapped, origin, version),
        "unmapped": _unmapped(logged),
    }
    return {key: value for key, value in record.items() if value is not None}


def _activity(event: Event, mapped: Mapped) -> int:
    if event.action.value.startswith("step."):
        return STEPS.get(event.detail.get("step", ""), mapped.activity)
    return mapped.activity


def _message(event: Event) -> str:
    about = " ".join(p for p in (event.credential, event.app, event.target, event.machine) if p)
    why = f": {event.reason}" if event.reason else ""
    return f"{event.action} {event.outcome} {about}".rstrip() + why


def _metadata(logged: LoggedEvent, origin: str, version: str) -> Record:
    found = {
        "version": SCHEMA,
        "product": _product(version),
        "uid": f"{origin}/{logged.sequence}",
        "sequence": logged.sequence,
        "event_code": logged.event.action.value,
        "log_name": origin,
        "log_provider": "rotator",
        "log_version": str(logged.version),
        "correlation_uid": logged.event.rotation_id or logged.event.rollout_id,
    }
    return {key: value for key, value in found.items() if value is not None}


def _product(version: str) -> Record:
    return {"name": "rotator", "vendor_name": "rotator", "version": version}


def _actor(actor: Actor) -> Record:
    """Who: a person as a user, everything else as the service that rotator is."""
    if actor.kind == ActorKind.USER:
        user: Record = {"name": actor.name, "type_id": 1, "type": "User"}
        if actor.uid is not None:
            user["uid"] = str(actor.uid)
        return {"user": user, "app_name": "rotator"}
    service: Record = {"name": f"{actor.kind}:{actor.name}", "type_id": 3, "type": "System"}
    return {"user": service, "app_name": "rotator", "app_uid": actor.name}


def _about(event: Event, mapped: Mapped, origin: str, version: str) -> Record:
    """The attributes of the class."""
    endpoint, actor = _endpoint(event.actor), _actor(event.actor)
    match mapped.ocsf_class:
        case OcsfClass.ENTITY_MANAGEMENT:
            entity = {"name": _entity_name(event, mapped), "type": mapped.entity}
            if (uid := _entity_uid(event, mapped)) is not None:
                entity["uid"] = uid
            comment = {"comment": event.reason} if event.reason else {}
            return {"entity": entity, "actor": actor, "src_endpoint": endpoint, **comment}
        case OcsfClass.COMPLIANCE_FINDING:
            return _finding(event)
        case OcsfClass.API_ACTIVITY:
            resources = _resources(event)
            return {
                "api": _api(event),
                "actor": actor,
                "src_endpoint": endpoint,
                "resources": resources,
            }
        case OcsfClass.APPLICATION_LIFECYCLE:
            return {"app": _product(version)}
        case OcsfClass.EVENT_LOG_ACTIVITY:
            log = {"log_name": origin, "log_provider": "rotator"}
            return {**log, "actor": actor, "src_endpoint": endpoint}


def _finding(event: Event) -> Record:
    """A finding of the posture: the rule is the control that it is held against."""
    detail = event.detail
    rule, subject = detail.get("rule") or "posture", detail.get("subject") or "posture"
    info: Record = {
        "uid": detail.get("finding") or rule,
        "title": rule,
        "desc": event.reason or None,
        "types": ["posture"],
    }
    holds = event.action is Action.POSTURE_RESOLVED
    compliance = {
        "control": rule,
        "standards": ["rotator posture"],
        "status_id": 1 if holds else 3,
        "status": "Pass" if holds else "Fail",
    }
    mend = detail.get("mend")
    return {
        "finding_info": {key: value for key, value in info.items() if value is not None},
        "compliance": compliance,
        "resources": [{"type": rule, "name": subject}],
        "remediation": {"desc": mend} if mend else None,
    }


def _entity_name(event: Event, mapped: Mapped) -> str:
    if mapped.entity == "manifest":
        return event.detail.get("source", "manifest")
    if mapped.entity == "rollout":
        return event.app or mapped.entity
    if mapped.entity == "certificate":
        return event.target or mapped.entity
    return event.credential or mapped.entity


def _entity_uid(event: Event, mapped: Mapped) -> str | None:
    return {
        "rotation": event.rotation_id,
        "rollout": event.rollout_id,
        "version": event.detail.get("version"),
        "leftover": event.detail.get("issued_as"),
    }.get(mapped.entity)


def _endpoint(actor: Actor) -> Record:
    """Where it came from: at least the service's name, which the schema wants."""
    found = {"hostname": actor.host, "uid": actor.machine, "svc_name": "rotator"}
    return {key: value for key, value in found.items() if value is not None}


def _api(event: Event) -> Record:
    operation = event.detail.get("step") or event.action.value
    api: Record = {"operation": operation, "service": {"name": "fly.io"}}
    if event.request_id is not None:
        api["request"] = {"uid": event.request_id}
    return api


def _resources(event: Event) -> list[Record] | None:
    pairs = (
        ("credential", event.credential),
        ("app", event.app),
        ("target", event.target),
        ("machine", event.machine),
    )
    return [{"type": kind, "name": name} for kind, name in pairs if name is not None] or None


def _unmapped(logged: LoggedEvent) -> Record:
    event = logged.event
    found = {
        "outcome": event.outcome.value,
        "reason": event.reason or None,
        "credential": event.credential,
        "kind": event.kind,
        "organization": event.organization,
        "app": event.app,
        "target": event.target,
        "machine": event.machine,
        "actor": str(event.actor),
        "region": event.actor.region,
        "rotation_id": event.rotation_id,
        "rollout_id": event.rollout_id,
        "detail": typed_detail(event.detail) or None,
        "previous": logged.previous,
        "hash": logged.hash,
    }
    return {key: value for key, value in found.items() if value is not None}
