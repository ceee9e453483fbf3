"""What the fields of an event mean: the table that docs/events.md is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rotator.domain.events import LEAF_COLUMNS, SCHEMA_VERSION, Action, Outcome
from rotator.domain.rotation import ActorKind


class FieldType(StrEnum):
    """How a value is written."""

    NUMBER = "number"
    TIME = "time"
    TEXT = "text"
    ID = "id"
    NAME = "name"
    OBJECT = "object"


@dataclass(frozen=True)
class EventField:
    """One field."""

    type: FieldType
    meaning: str


_T = FieldType
FIELDS: Final[Mapping[str, EventField]] = {
    "version": EventField(_T.NUMBER, "schema that the event was written under"),
    "at": EventField(_T.TIME, "when; in leaf bytes as microseconds since 1970 in UTC"),
    "action": EventField(_T.NAME, "what, from the list below"),
    "outcome": EventField(_T.NAME, "how it went, from the list below"),
    "actor_kind": EventField(_T.NAME, "user, worker, schedule or webhook"),
    "actor_name": EventField(_T.TEXT, "which one: a person and host, a process, a policy"),
    "actor_host": EventField(_T.TEXT, "host that it was done on"),
    "actor_uid": EventField(_T.NUMBER, "user id of the person on that host"),
    "actor_machine": EventField(_T.ID, "machine on Fly that the worker runs on"),
    "actor_region": EventField(_T.NAME, "region of that machine"),
    "reason": EventField(_T.TEXT, "why: what a person gave, or what made it due"),
    "credential": EventField(_T.NAME, "credential that it is about"),
    "kind": EventField(_T.NAME, "kind of that credential"),
    "organization": EventField(_T.NAME, "organisation on Fly"),
    "app": EventField(_T.NAME, "app on Fly"),
    "target": EventField(_T.TEXT, "place that a value was delivered to, or a certificate"),
    "machine": EventField(_T.ID, "machine that was restarted"),
    "rotation_id": EventField(_T.ID, "rotation that it belongs to"),
    "rollout_id": EventField(_T.ID, "rollout that it belongs to"),
    "request_id": EventField(_T.ID, "Fly's id of the request, for its support"),
    "detail": EventField(_T.OBJECT, "what else is known, see below; never a value"),
}
PLACE: Final[Mapping[str, EventField]] = {
    "sequence": EventField(_T.NUMBER, "number in the log, from 1 without gaps"),
    "previous": EventField(_T.TEXT, "the chain's hash before the event"),
    "hash": EventField(_T.TEXT, "the chain's hash behind it"),
}
DETAILS: Final[Mapping[str, EventField]] = {
    "attempt": EventField(_T.NUMBER, "which try of the step, or of a certificate's re-check"),
    "step": EventField(_T.NAME, "step of the rotation"),
    "wave": EventField(_T.NUMBER, "wave of the rollout"),
    "secrets_version": EventField(_T.NUMBER, "version of the app's secrets that is wanted"),
    "size": EventField(_T.NUMBER, "events that a checkpoint covers"),
    "first": EventField(_T.NUMBER, "first event of an archive"),
    "last": EventField(_T.NUMBER, "last event of an archive"),
    "state": EventField(_T.NAME, "state that was reached"),
    "region": EventField(_T.NAME, "region of the machine"),
    "error": EventField(_T.TEXT, "what went wrong, redacted"),
    "evidence": EventField(_T.TEXT, "what shows that it is so"),
    "version": EventField(_T.ID, "version of the credential"),
    "changes": EventField(_T.TEXT, "what the manifest says otherwise, field by field"),
    "cause": EventField(_T.TEXT, "why a rotation turned back or was parked"),
    "why": EventField(_T.TEXT, "why something is due, overdue or paused"),
    "taint": EventField(_T.ID, "taint that it belongs to"),
    "leaked": EventField(_T.NAME, "credential that the taint began with"),
    "alert": EventField(_T.ID, "leak that a hook was told of"),
    "hook": EventField(_T.NAME, "hook that was told, or that refused"),
    "place": EventField(_T.TEXT, "where a leaked value was found, as the sender tells"),
    "sort": EventField(_T.TEXT, "what it is, in the sender's words"),
    "requests": EventField(_T.NUMBER, "requests that were refused since the last such event"),
    "writer": EventField(_T.TEXT, "who wrote a value behind rotator's back, as Fly tells"),
    "written_at": EventField(_T.TIME, "when that was"),
    "writes": EventField(_T.NUMBER, "how often two writers have undone each other by then"),
    "finding": EventField(_T.ID, "finding of the posture: its fingerprint"),
    "rule": EventField(_T.NAME, "rule that found it"),
    "severity": EventField(_T.NAME, "note, low, medium, high or critical"),
    "was": EventField(_T.NAME, "severity before"),
    "subject": EventField(_T.TEXT, "what the finding is about"),
    "mend": EventField(_T.TEXT, "command or patch that mends it"),
    "since": EventField(_T.TIME, "when it was opened, before it was resolved"),
    "opened": EventField(_T.NUMBER, "findings that a look opened, reopened ones with them"),
    "resolved": EventField(_T.NUMBER, "findings that a look no longer found"),
    "open_critical": EventField(_T.NUMBER, "critical findings that were open after a look"),
    "open_high": EventField(_T.NUMBER, "the same, high"),
    "open_medium": EventField(_T.NUMBER, "the same, medium"),
    "open_low": EventField(_T.NUMBER, "the same, low"),
    "open_note": EventField(_T.NUMBER, "the same, of note"),
    "not_read": EventField(_T.NUMBER, "parts that a look could not read"),
    "stage": EventField(_T.TEXT, "value or end, and how near it, that an alarm was told for"),
    "source": EventField(_T.NAME, "where a certificate, or a manifest, is from"),
    "next": EventField(_T.TEXT, "command or record that helps"),
    "would": EventField(_T.TEXT, "steps that rotator would take if it did not only observe"),
    "mode": EventField(_T.NAME, "normal or emergency"),
    "reason_code": EventField(_T.NAME, "why it was due, as a code"),
    "expires_at": EventField(_T.TIME, "when the value or certificate expires"),
    "key_id": EventField(_T.ID, "key that signed"),
    "checkpoint": EventField(_T.TEXT, "the signed checkpoint"),
    "sink": EventField(_T.NAME, "place that events or checkpoints are sent to"),
    "failures": EventField(_T.NUMBER, "tries in a row that failed"),
    "sha256": EventField(_T.TEXT, "digest of an archive"),
    "file": EventField(_T.TEXT, "name of an archive"),
}
OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.INTENT: "about to be done: stands before every outside effect",
    Outcome.OK: "done",
    Outcome.WAITING: "not yet: tried again later",
    Outcome.FAILED: "refused or failed",
    Outcome.UNKNOWN: "the answer was lost: looked at before anything is repeated",
    Outcome.INFO: "noticed or decided, with no effect of its own",
}


def typed_detail(detail: Mapping[str, str]) -> Mapping[str, str | int]:
    """A detail with numbers where numbers are meant."""
    return {key: _typed(key, value) for key, value in detail.items()}


def _typed(key: str, value: str) -> str | int:
    known = DETAILS.get(key)
    number = known is not None and known.type is FieldType.NUMBER
    return int(value) if number and value.isascii() and value.isdigit() else value


def markdown() -> str:
    """docs/events.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Events of the audit log"
    yield ""
    yield f"Version {SCHEMA_VERSION} of the schema. Made by `rotator audit schema`; don't edit."
    yield ""
    yield "An event's leaf bytes are the JSON array of these columns in this order, without spaces,"
    yield "with `detail` as a text of JSON. Its leaf in the Merkle tree is SHA-256 over a zero byte"
    yield "and them (RFC 6962). Times are numbers there, absent fields are null."
    yield ""
    yield from _table(("field", "type", "meaning"), {key: FIELDS[key] for key in LEAF_COLUMNS})
    yield ""
    yield "Its place in the log:"
    yield ""
    yield from _table(("field", "type", "meaning"), PLACE)
    yield ""
    yield "Version 1 had no `actor_host`, `actor_uid`, `actor_machine` and `actor_region`, and its"
    yield "leaf bytes are a JSON object with the sequence in it; such events go on to verify."
    yield ""
    yield "## Detail"
    yield ""
    yield "A flat object of texts; exports write numbers as numbers. Adapters may add keys."
    yield ""
    yield from _table(("key", "type", "meaning"), DETAILS)
    yield ""
    yield "## Outcomes"
    yield ""
    yield from (f"- `{each.value}`: {OUTCOMES[each]}" for each in Outcome)
    yield ""
    yield "## Actors"
    yield ""
    yield ", ".join(f"`{each.value}`" for each in ActorKind)
    yield ""
    yield "## Actions"
    yield ""
    families: dict[str, list[str]] = {}
    for action in Action:
        families.setdefault(action.value.partition(".")[0], []).append(f"`{action.value}`")
    yield from (f"- {', '.join(actions)}" for actions in families.values())


def _table(heads: tuple[str, ...], rows: Mapping[str, EventField]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for key, each in rows.items():
        yield f"| `{key}` | {each.type.value} | {each.meaning} |"
