"""`rotator list` and `rotator show`: the inventory for people and scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.drifted import drift_sentence, watch_data
from rotator.cli.history import rotations_table
from rotator.cli.rotating import apps_of
from rotator.cli.session import opened
from rotator.cli.styles import styled
from rotator.cli.text import console, from_now, moment, print_json, say, show
from rotator.domain.alarms import alarms
from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.drift import TargetWatch
from rotator.domain.durations import format_duration, rough_duration
from rotator.domain.errors import InputError
from rotator.domain.events import Action
from rotator.domain.policy import Policy
from rotator.domain.ports import EventQuery, Store, Unit
from rotator.domain.rotation import Rotation, RotationState
from rotator.engine.taint import standing_taints

if TYPE_CHECKING:
    from rich.table import Table


WIDE: Final = 120
"""Columns. Below it the list leaves the names of values out; `show` has them."""
NARROW: Final = 90
"""Columns. Below it the list leaves the targets out as well."""


MOST_GONE: Final = 200
"""The newest values that were found to be gone."""


@dataclass(frozen=True)
class Entry:
    """One line of the inventory."""

    credential: Credential
    current: Version | None
    retiring: tuple[Version, ...]
    latest: Rotation | None
    watches: tuple[TargetWatch, ...] = ()

    def age(self, now: datetime) -> str:
        """How old the current value is, as far as it is known."""
        if self.current is None:
            return "-"
        issued = self.current.issued
        if self.current.adopted and (issued is None or issued.created_at is None):
            # Fly does not tell: it is at least as old as we have known it.
            return f">{rough_duration(now - self.current.created_at)}"
        born = issued.created_at if issued and issued.created_at else self.current.created_at
        return rough_duration(now - born)

    @property
    def state(self) -> str:
        """What a person would want to know first."""
        if self.credential.status is CredentialStatus.UNMANAGED:
            return "unmanaged"
        if self.credential.spec.observed:
            return "observed"
        if self.latest is not None and self.latest.state is not RotationState.SUCCEEDED:
            return self.latest.state.value
        return "current" if self.current is not None else "no value yet"


async def inventory(store: Store) -> Sequence[Entry]:
    """Everything that is tracked, by name."""
    async with store.view() as unit:
        watches: dict[str, list[TargetWatch]] = {}
        for watch in await unit.target_watches():
            watches.setdefault(watch.credential_id, []).append(watch)
        entries = [await _entry(unit, c, watches.get(c.id, ())) for c in await unit.credentials()]
    return sorted(entries, key=lambda e: e.credential.name)


async def _entry(unit: Unit, credential: Credential, watches: Sequence[TargetWatch]) -> Entry:
    versions = await unit.versions(credential.id)
    rotations = await unit.rotations(credential_id=credential.id, limit=1)
    keys = {target.key for target in credential.spec.targets}
    return Entry(
        credential,
        next((v for v in versions if v.state is VersionState.CURRENT), None),
        tuple(v for v in versions if v.state is VersionState.RETIRING),
        rotations[0] if rotations else None,
        tuple(watch for watch in watches if watch.target in keys),
    )


async def show_inventory(
    app: str | None, kind: str | None, *, only_due: bool, as_json: bool
) -> int:
    """`rotator list`."""
    async with opened() as rotator:
        entries = await inventory(rotator.store)
        async with rotator.store.view() as unit:
            query = EventQuery(action=Action.VERSION_GONE.value, limit=MOST_GONE)
            gone = {e.event.detail.get("version"): e.event.at for e in await unit.events(query)}
        tainted = {each.credential.name: each for each in await standing_taints(rotator.parts)}
        now = rotator.parts.clock.now()
    chosen = [
        entry
        for entry in entries
        if (app is None or app in apps_of(entry.credential))
        and (kind is None or entry.credential.spec.kind == kind)
        and (not only_due or _is_due(entry.credential, now))
    ]
    if as_json:
        print_json({"credentials": [_as_data(entry, now) for entry in chosen]})
    elif not chosen:
        say("no credential is tracked" if not entries else "no credential fits")
    else:
        show(inventory_table(chosen, now))
        for line in _alarm_lines(chosen, now):
            say(line)
        for entry in chosen:
            if entry.current is not None and (at := gone.get(entry.current.id)) is not None:
                name = entry.credential.name
                say(f"! {name}: its value is gone at the issuer, seen {from_now(at, now)}")
            if (taint := tainted.get(entry.credential.name)) is not None:
                state = taint.taint.state.value
                say(f"! {entry.credential.name}: assumed to be lost, {state} (rotator taint)")
    return 0


def inventory_table(entries: Sequence[Entry], now: datetime) -> Table:
    """A line for each credential."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = ["credential", "kind", "current value", "age", "state", "due", "expires", "targets"]
    width = console().width
    narrow = width < WIDE
    columns = [c for c in columns if not (narrow and c == "current value")]
    columns = [c for c in columns if not (width < NARROW and c == "targets")]
    for column in columns:
        table.add_column(
            column, no_wrap=column not in ("targets", "current value"), overflow="fold"
        )
    for entry in entries:
        spec, current = entry.credential.spec, entry.current
        issued = current.issued if current else None
        expires = issued.expires_at if issued else None
        due = entry.credential.due_at
        shown_due = from_now(due, now) if due is None or due > now else "[yellow]due[/yellow]"
        table.add_row(
            spec.name,
            spec.kind,
            *(() if narrow else (_named(current),)),
            entry.age(now),
            _state(entry, narrow=narrow),
            shown_due,
            from_now(expires, now) if expires else "-",
            *(() if width < NARROW else ("\n".join(target.key for target in spec.targets),)),
        )
    return table


def _state(entry: Entry, *, narrow: bool) -> str:
    """Where the names of values are left out, that one was adopted is said here."""
    adopted = entry.current is not None and entry.current.adopted
    return styled(entry.state) + ("\n(adopted)" if narrow and adopted else "")


def _named(version: Version | None) -> str:
    if version is None:
        return "-"
    name = version.issued.name if version.issued else version.id
    return f"{name} (adopted)" if version.adopted else name


def _is_due(credential: Credential, now: datetime) -> bool:
    return credential.due_at is not None and credential.due_at <= now


def _alarm_lines(entries: Sequence[Entry], now: datetime) -> Iterator[str]:
    for entry in entries:
        for alarm in alarms(entry.credential, entry.current, now):
            yield f"! {entry.credential.name}: {alarm.sentence} ({alarm.command})"
        for watch in entry.watches:
            if watch.drifted:
                yield f"! {entry.credential.name}: {drift_sentence(watch, now)} (rotator drift)"


def _as_data(entry: Entry, now: datetime) -> object:
    return {
        "name": entry.credential.name,
        "kind": entry.credential.spec.kind,
        "place": entry.credential.spec.place,
        "status": entry.credential.status,
        "mode": entry.credential.spec.mode,
        "state": entry.state,
        "owner": entry.credential.spec.owner,
        "due_at": entry.credential.due_at,
        "targets": [target.key for target in entry.credential.spec.targets],
        "current": _version_data(entry.current) if entry.current else None,
        "retiring": [_version_data(version) for version in entry.retiring],
        "drift": [watch_data(watch) for watch in entry.watches if watch.drifted],
        "alarms": alarms(entry.credential, entry.current, now),
        "latest_rotation": entry.latest.id if entry.latest else None,
    }


def _version_data(version: Version) -> object:
    issued = version.issued
    return {
        "id": version.id,
        "state": version.state,
        "issued_as": issued.name if issued else None,
        "issuer_ref": issued.ref if issued else None,
        "adopted": version.adopted,
        "value_held": version.sealed,
        "created_at": issued.created_at if issued and issued.created_at else version.created_at,
        "expires_at": issued.expires_at if issued else None,
        "promoted_at": version.promoted_at,
        "revoke_at": version.revoke_at,
        "ended_at": version.ended_at,
    }


async def show_credential(name: str, *, as_json: bool) -> int:
    """`rotator show NAME`."""
    async with opened() as rotator:
        async with rotator.store.view() as unit:
            credential = await unit.credential(name)
            if credential is None:
                raise InputError(
                    f"there is no credential {name!r}", next_step="`rotator list` shows them"
                )
            versions = await unit.versions(credential.id)
            rotations = await unit.rotations(credential_id=credential.id, limit=10)
            entry = await _entry(unit, credential, await unit.target_watches(credential.id))
        kind = rotator.kinds.get(credential.spec.kind)
        bits = kind.entropy_bits(credential.spec.params) if kind else None
        now = rotator.parts.clock.now()
    if as_json:
        data = {
            "spec": credential.spec,
            "entropy_bits": bits,
            "versions": [_version_data(version) for version in versions],
            "rotations": rotations,
        }
        described = _as_data(entry, now)
        assert isinstance(described, dict)
        print_json(described | data)
        return 0
    _tell_credential(entry, bits, now)
    show(_versions_table(versions))
    if rotations:
        show(rotations_table(rotations))
    return 0


def _tell_credential(entry: Entry, bits: int | None, now: datetime) -> None:
    credential, current = entry.credential, entry.current
    spec = credential.spec
    say(f"{spec.name}: {spec.kind} at {spec.place}, {credential.status.value}")
    say(f"  {policy_line(spec.policy)}")
    say(f"  due {moment(credential.due_at)} ({from_now(credential.due_at, now)})")
    if bits is not None:
        say(f"  a new value has {bits} bits of randomness")
    if spec.observed:
        say("  only observed: rotator tells what it would do, and changes nothing")
    if current is not None and current.adopted:
        say(
            "  its value is unknown to rotator, which adopted it: the first rotation replaces it "
            "and revokes it only once the new one is confirmed, but can't be undone"
        )
    for line in _alarm_lines([entry], now):
        say(f"  {line}")
    for target in spec.targets:
        rollout = f", rollout {target.rollout.strategy.value}" if target.app else ""
        say(f"  delivered to {target.key}{rollout}")
    if spec.owner:
        say(f"  owner {spec.owner}")
    if spec.runbook:
        say(f"  runbook {spec.runbook}")


def policy_line(policy: Policy) -> str:
    """A policy in one line."""
    when = "only by hand"
    if policy.every is not None:
        when = f"every {format_duration(policy.every)}"
    elif policy.cron is not None:
        when = f"cron {policy.cron!r} ({policy.zone})"
    parts = [when, f"overlap {format_duration(policy.overlap)}"]
    if policy.jitter:
        parts.append(f"jitter {format_duration(policy.jitter)}")
    if policy.max_age is not None:
        parts.append(f"at most {format_duration(policy.max_age)} old")
    if policy.window is not None:
        parts.append(f"window {format_duration(policy.window.span)} from {policy.window.start}")
    if policy.blackouts:
        parts.append(f"{len(policy.blackouts)} blackouts")
    return ", ".join(parts)


def _held(version: Version) -> str:
    if version.sealed:
        return "sealed"
    return "never known" if version.adopted else "not held"


def _versions_table(versions: Sequence[Version]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (
        "version",
        "state",
        "issued as",
        "made",
        "expires",
        "promoted",
        "ended",
        "value",
    ):
        table.add_column(column, no_wrap=column != "issued as", overflow="fold")
    for version in reversed(versions):
        issued = version.issued
        made = issued.created_at if issued and issued.created_at else None
        if made is None and not version.adopted:
            made = version.created_at
        table.add_row(
            version.id,
            styled(version.state.value),
            _named(version),
            moment(made),
            moment(issued.expires_at if issued else None),
            moment(version.promoted_at),
            moment(version.ended_at),
            _held(version),
        )
    return table
