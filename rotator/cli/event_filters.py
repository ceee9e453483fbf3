"""What the options of `rotator audit` say of which events are meant."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from rotator.domain.durations import parse_duration
from rotator.domain.errors import InputError
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import EventQuery


@dataclass(frozen=True)
class Filters:
    """What the options say."""

    text: str | None = None
    app: str | None = None
    kind: str | None = None
    credential: str | None = None
    organization: str | None = None
    target: str | None = None
    machine: str | None = None
    actor: str | None = None
    host: str | None = None
    uid: int | None = None
    worker_machine: str | None = None
    region: str | None = None
    action: str | None = None
    outcome: str | None = None
    rotation: str | None = None
    rollout: str | None = None
    request_id: str | None = None
    since: str | None = None
    until: str | None = None
    before: int | None = None
    after: int | None = None
    limit: int | None = None


def to_query(filters: Filters, now: datetime) -> EventQuery:
    """The options as a query.

    Raises:
        InputError: a time, an action or an outcome is not one.
    """
    if filters.outcome is not None and filters.outcome not in set(Outcome):
        known = ", ".join(Outcome)
        raise InputError(f"{filters.outcome!r} is none of {known}", where="--outcome")
    _check_actions(filters.action)
    return EventQuery(
        text=filters.text,
        app=filters.app,
        kind=filters.kind,
        credential=filters.credential,
        organization=filters.organization,
        target=filters.target,
        machine=filters.machine,
        actor=filters.actor,
        actor_host=filters.host,
        actor_uid=filters.uid,
        actor_machine=filters.worker_machine,
        actor_region=filters.region,
        action=filters.action,
        outcome=filters.outcome,
        rotation_id=filters.rotation.upper() if filters.rotation else None,
        rollout_id=filters.rollout.upper() if filters.rollout else None,
        request_id=filters.request_id,
        since=instant(filters.since, now, "--since"),
        until=instant(filters.until, now, "--until"),
        before=filters.before,
        after=filters.after,
    )


def query_of(options: str, now: datetime) -> EventQuery:
    """The query of `rotator audit` with these options, as they stand on a command line."""
    words = iter(shlex.split(options))
    given = {word.removeprefix("--"): next(words) for word in words}
    return to_query(Filters(**given), now)  # type: ignore[arg-type]


def _check_actions(given: str | None) -> None:
    for text in given.split(",") if given is not None else ():
        if not any(action == text or action.startswith(f"{text}.") for action in Action):
            raise InputError(
                f"there is no action {text!r}",
                where="--action",
                next_step=f"for example {Action.VERSION_REVOKED}; all: {', '.join(Action)}",
            )


def instant(text: str | None, now: datetime, option: str) -> datetime | None:
    """A time as people write it: how long ago, a date, or a time."""
    if text is None:
        return None
    if re.fullmatch(r"(\d+[wdhms])+", text):
        return now - parse_duration(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no time",
            where=option,
            next_step="for example 7d, 2026-11-01 or 2026-11-01T09:00Z",
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
