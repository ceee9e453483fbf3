"""Fly's machine object into ours. Its `config` is kept value for value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import Field

from rotator.domain.machines import Check, Machine, MachineEvent, RawConfig
from rotator.fly.parsing import FlyModel, Instant

_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_GO_DURATION = re.compile(f"(?:{_GO_PART.pattern}){{1,4}}")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

DEFAULT_GROUP = "app"
"""The process group of a machine whose metadata names none (flyctl's default)."""


class _Check(FlyModel):
    name: str
    status: str


class _ExitEvent(FlyModel):
    requested_stop: bool = False
    restarting: bool = False
    exit_code: int | None = None


class _Monitor(FlyModel):
    exit_event: _ExitEvent | None = None


class _Request(FlyModel):
    monitor: _Monitor | None = Field(default=None, alias="MonitorEvent")
    exit_event: _ExitEvent | None = None
    restart_count: int = 0


class _Event(FlyModel):
    type: str
    status: str = ""
    source: str = ""
    timestamp: int
    request: _Request | None = None

    def plain(self) -> MachineEvent:
        request = self.request or _Request()
        nested = request.monitor.exit_event if request.monitor else None
        exit_event = nested or request.exit_event or _ExitEvent()
        return MachineEvent(
            type=self.type,
            status=self.status,
            source=self.source,
            at=datetime.fromtimestamp(self.timestamp / 1000, UTC),
            requested_stop=exit_event.requested_stop,
            restarting=exit_event.restarting,
            restart_count=request.restart_count,
            exit_code=exit_event.exit_code,
        )


class MachineModel(FlyModel):
    """A machine as the Machines API sends it."""

    id: str
    name: str = ""
    state: str
    region: str = ""
    instance_id: str
    created_at: Instant
    updated_at: Instant
    config: dict[str, object] | None = Field(default=None, repr=False)
    incomplete_config: dict[str, object] | None = Field(default=None, repr=False)
    host_status: str = "ok"
    cordoned: bool = False
    private_ip: str = ""
    checks: tuple[_Check, ...] | None = None
    events: tuple[_Event, ...] | None = None

    def plain(self, app: str) -> Machine:
        """Ours."""
        known = self.config if self.config is not None else self.incomplete_config or {}
        metadata = _texts(known.get("metadata"))
        standbys = known.get("standbys")
        return Machine(
            id=self.id,
            name=self.name,
            app=app,
            state=self.state,
            region=self.region,
            instance_id=self.instance_id,
            process_group=metadata.get("fly_process_group")
            or metadata.get("process_group")
            or DEFAULT_GROUP,
            host_status=self.host_status,
            metadata=metadata,
            config=None if self.config is None else RawConfig(self.config),
            created_at=self.created_at,
            updated_at=self.updated_at,
            checks=tuple(
                Check(check.name, check.status)
                for check in self.checks or ()
                # Fly: made up for blue-green deployments; clients drop them.
                if not check.name.startswith("bg_deployments_compat")
            ),
            expects_checks=_expects_checks(known),
            check_grace=_check_grace(known),
            events=tuple(event.plain() for event in self.events or ()),
            reads=_reads(known),
            schedule=_text_or_none(known.get("schedule")),
            auto_destroy=known.get("auto_destroy") is True,
            standby_for=tuple(str(each) for each in standbys) if isinstance(standbys, list) else (),
            cordoned=self.cordoned,
            private_ip=self.private_ip,
            has_services=bool(known.get("services")),
            autostarts=_autostarts(known),
            has_volume=bool(known.get("mounts")),
        )


def _expects_checks(config: Mapping[str, object]) -> bool:
    if config.get("checks"):
        return True
    return any(service.get("checks") for service in _objects(config.get("services")))


def _check_grace(config: Mapping[str, object]) -> timedelta:
    """How long after a start Fly looks for the first time, by the check that waits longest."""
    named = config.get("checks")
    checks = list(_objects(list(named.values()))) if isinstance(named, dict) else []
    for service in _objects(config.get("services")):
        checks += _objects(service.get("checks"))
    return max((_duration(check.get("grace_period")) for check in checks), default=timedelta(0))


def _duration(value: object) -> timedelta:
    """Fly: whole nanoseconds, or text as Go writes it. What can't be read counts as none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return timedelta(microseconds=value / 1000)
    if not isinstance(value, str) or not _GO_DURATION.fullmatch(value):
        return timedelta(0)
    parts = _GO_PART.findall(value)
    return timedelta(seconds=sum(float(number) * _GO_UNITS[unit] for number, unit in parts))


def _autostarts(config: Mapping[str, object]) -> bool:
    """Whether Fly's proxy starts it when a request comes (Fly: so a stop is no failure)."""
    return any(service.get("autostart") is True for service in _objects(config.get("services")))


def _reads(config: Mapping[str, object]) -> frozenset[str] | None:
    """The names of the secrets that reach the machine; None for all, which is Fly's default.

    Fly: limited by `containers[].secrets` or by `processes[].ignore_app_secrets` + `secrets`;
    `files[].secret_name` reads one into a file.
    """
    containers = list(_objects(config.get("containers")))
    processes = list(_objects(config.get("processes")))
    if containers:
        if any("secrets" not in container for container in containers):
            return None
        consumers = containers
    elif processes:
        if any(process.get("ignore_app_secrets") is not True for process in processes):
            return None
        consumers = processes
    else:
        return None
    names = {
        str(secret.get("name") or secret.get("env_var"))
        for consumer in consumers
        for secret in _objects(consumer.get("secrets"))
    }
    holders = [config, *containers]
    names |= {
        str(file["secret_name"])
        for holder in holders
        for file in _objects(holder.get("files"))
        if file.get("secret_name")
    }
    return frozenset(names)


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(key): str(each) for key, each in value.items() if each is not None}


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
