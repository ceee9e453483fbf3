"""What a machine runs with, out of its `config` and `image_ref` as the Machines API sends them.

A machine's config is read leniently: a field of another shape than Fly describes counts as absent,
because one odd machine must not hide what is wrong with all the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from pydantic import Field
from ulid import ULID

from rotator.domain.posture.running import (
    ImageRef,
    Port,
    Restarts,
    RunningMachine,
    Service,
    Variable,
)
from rotator.domain.secret import Secret
from rotator.fly.machine_model import MachineModel
from rotator.fly.parsing import FlyModel

MAX_VARIABLES: Final = 2000
"""Of one machine that are looked at."""
_ASSIGNED: Final = re.compile(r"-{0,2}(?P<name>[A-Za-z_][\w.-]{0,127})=(?P<value>.+)", re.DOTALL)
"""An argument that gives a name to a value: `--api-key=…`, `API_KEY=…`."""
_DEPLOYMENT: Final = re.compile(r"deployment-([0-9A-HJKMNP-TV-Z]{26})")
"""The tag that flyctl gives to what it builds."""
_CREATED: Final = "org.opencontainers.image.created"
"""The label of the OCI image specification for the time of the build."""
_RUNS: Final = ("entrypoint", "cmd", "exec")


class _ImageRef(FlyModel):
    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""
    labels: dict[str, str] | None = None


class RunningMachineModel(MachineModel):
    """A machine with its image."""

    image_ref: _ImageRef | None = Field(default=None)

    def running(self, app: str) -> RunningMachine:
        """Ours."""
        config = self.config if self.config is not None else self.incomplete_config or {}
        return RunningMachine(
            machine=self.plain(app),
            image=self._image(config),
            services=tuple(_services(config)),
            restarts=_restarts(config),
            variables=tuple(_variables(config))[:MAX_VARIABLES],
            command=tuple(Secret.of_others(each) for each in _arguments(config)),
            users=tuple(_users(config)),
            made_at=_time_of(self.instance_id),
        )

    def _image(self, config: Mapping[str, object]) -> ImageRef:
        ref = self.image_ref or _ImageRef()
        given = config.get("image")
        labels = ref.labels or {}
        deployed = _DEPLOYMENT.fullmatch(ref.tag)
        return ImageRef(
            given=given if isinstance(given, str) else "",
            registry=ref.registry,
            repository=ref.repository,
            tag=ref.tag,
            digest=ref.digest,
            labels=labels,
            built_at=_instant(labels.get(_CREATED, ""))
            or (_time_of(deployed[1]) if deployed else None),
        )


def _time_of(ulid: str) -> datetime | None:
    """The time in a ULID. Fly: `instance_id` is one, new with each version of a machine."""
    try:
        return ULID.from_str(ulid).datetime
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _services(config: Mapping[str, object]) -> Iterator[Service]:
    for service in _objects(config.get("services")):
        yield Service(
            protocol=_text(service.get("protocol")) or "tcp",
            internal_port=_whole(service.get("internal_port")) or 0,
            ports=tuple(_ports(service.get("ports"))),
        )


def _ports(value: object) -> Iterator[Port]:
    for port in _objects(value):
        start = _whole(port.get("port")) or _whole(port.get("start_port"))
        if not start:
            continue
        tls = port.get("tls_options")
        tls = tls if isinstance(tls, dict) else {}
        yield Port(
            start=start,
            end=_whole(port.get("port")) or _whole(port.get("end_port")) or start,
            handlers=tuple(_texts(port.get("handlers"))),
            force_https=port.get("force_https") is True,
            tls_versions=tuple(_texts(tls.get("versions"))),
            self_signed=tls.get("default_self_signed") is True,
        )


def _restarts(config: Mapping[str, object]) -> Restarts:
    restart = config.get("restart")
    restart = restart if isinstance(restart, dict) else {}
    return Restarts(_text(restart.get("policy")), _whole(restart.get("max_retries")))


def _variables(config: Mapping[str, object]) -> Iterator[Variable]:
    for holder in (config, *_programs(config)):
        env = holder.get("env")
        for name, value in (env if isinstance(env, dict) else {}).items():
            if isinstance(value, str) and value:
                yield Variable(str(name), Secret.of_others(value))
    for argument in _arguments(config):
        if assigned := _ASSIGNED.fullmatch(argument):
            yield Variable(assigned["name"], Secret.of_others(assigned["value"]))


def _arguments(config: Mapping[str, object]) -> Iterator[str]:
    init = config.get("init")
    for holder in (init if isinstance(init, dict) else {}, *_programs(config)):
        for name in _RUNS:
            yield from _texts(holder.get(name))


def _users(config: Mapping[str, object]) -> Iterator[str]:
    for program in _programs(config):
        yield _text(program.get("user"))


def _programs(config: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    yield from _objects(config.get("processes"))
    yield from _objects(config.get("containers"))


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
