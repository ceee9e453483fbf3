"""What runs, with what a test cares about; the rest is an app that nothing is wrong with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from rotator.domain.machines import MachineEvent
from rotator.domain.posture.running import (
    Address,
    Exposure,
    ImageRef,
    Port,
    Restarts,
    RunningApp,
    RunningMachine,
    Service,
    StandingSecret,
    Variable,
)
from rotator.domain.secret import Secret
from tests.unit.builders import NOW, a_machine

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
LONG_AGO = NOW - timedelta(days=20)
PUBLIC = (
    Address("2a09:8280:1::1", Exposure.PUBLIC_V6),
    Address("66.241.124.10", Exposure.SHARED_V4),
)
DEDICATED = Address("137.66.1.1", Exposure.DEDICATED_V4)
FLYCAST = Address("fdaa:0:1::2", Exposure.PRIVATE_V6)
HTTPS = Port(443, 443, ("tls", "http"))
HTTP = Port(80, 80, ("http",), force_https=True)
WEB = Service("tcp", 8080, (HTTP, HTTPS))


def an_image(given: str = "", digest: str = DIGEST, **more: object) -> ImageRef:
    values: dict[str, object] = {
        "given": given or "registry.fly.io/web:deployment-01HEPA330HZ37A78TK080NAK1M",
        "registry": "registry.fly.io",
        "repository": "web",
        "tag": "deployment-01HEPA330HZ37A78TK080NAK1M",
        "digest": digest,
        "built_at": LONG_AGO,
    }
    return ImageRef(**(values | more))  # type: ignore[arg-type]


def running(
    *services: Service,
    env: Mapping[str, str] | None = None,
    image: ImageRef | None = None,
    restarts: Restarts | None = None,
    command: tuple[str, ...] = (),
    users: tuple[str, ...] = (),
    made_at: datetime | None = LONG_AGO,
    metadata: Mapping[str, str] | None = None,
    managed: bool = True,
    **machine: object,
) -> RunningMachine:
    """A machine of `web` that Fly Launch deployed 20 days ago."""
    marks = {"fly_platform_version": "v2"} if managed else {}
    machine.setdefault("created_at", LONG_AGO)
    return RunningMachine(
        a_machine(metadata={**marks, **(metadata or {})}, **machine),  # type: ignore[arg-type]
        image or an_image(),
        services,
        restarts or Restarts("on-failure", 10),
        tuple(Variable(name, Secret(value)) for name, value in (env or {}).items()),
        tuple(Secret(each) for each in command),
        users,
        made_at,
    )


def an_app(
    *machines: RunningMachine,
    addresses: tuple[Address, ...] = PUBLIC,
    secrets: tuple[StandingSecret, ...] = (),
    name: str = "web",
) -> RunningApp:
    """An app of acme."""
    return RunningApp("acme", name, addresses, machines or (running(WEB),), secrets)


def a_secret(name: str = "KEY", *, age: timedelta, digest: str = "d1") -> StandingSecret:
    """An app secret that was set so long ago."""
    return StandingSecret(name, digest, NOW - age)


def started(ago: timedelta, *, type_: str = "start") -> MachineEvent:
    """An event of a boot."""
    return MachineEvent(type_, "started", "flyd", NOW - ago)


def crashed(ago: timedelta, *, count: int = 5) -> MachineEvent:
    """An exit that nobody asked for."""
    return MachineEvent(
        "exit",
        "stopped",
        "flyd",
        NOW - ago,
        restarting=True,
        restart_count=count,
        exit_code=1,
    )
