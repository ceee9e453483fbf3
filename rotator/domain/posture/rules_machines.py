"""How machines run: debugging that was left on, users, restarts, and what nobody looks after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.durations import rough_duration
from rotator.domain.machines import CLOCK_SKEW, GONE_STATES, MARK_ROLLOUT
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.running import (
    SETTLING,
    OwnRecord,
    RunningApp,
    RunningMachine,
    Service,
    named,
)
from rotator.domain.posture.scans import ScanReport
from rotator.domain.risk import Risk

_MACHINES: Final = "https://fly.io/docs/machines/"
_RESTARTS: Final = "https://fly.io/docs/machines/guides-examples/machine-restart-policy/"
CONSOLE_LEFT: Final = timedelta(days=1)
CONSOLE_GROUP: Final = "fly_app_console"

SSH_SERVICE: Final = Rule(
    "ssh-service",
    Topic.MACHINES,
    Risk.HIGH,
    "An SSH server answers at an address of the app",
    "It is found and tried within minutes. fly ssh needs no service: it comes over the private "
    "network, with certificates that end by themselves.",
    "Take the service out, and use fly ssh console.",
    "https://fly.io/docs/flyctl/ssh-console/",
)
DEBUG: Final = Rule(
    "machine-debug",
    Topic.MACHINES,
    Risk.MEDIUM,
    "A machine runs with debugging switched on",
    "Debuggers run code for whoever reaches them, and debug pages show the environment, which "
    "holds the app's secrets.",
    "Switch it off and deploy.",
    f"{_MACHINES}runtime-environment/",
)
CONSOLE: Final = Rule(
    "console-machine-left",
    Topic.MACHINES,
    Risk.LOW,
    "A machine of fly console was left running",
    "It holds the app's secrets of that day, nobody deploys to it, and its shell is open.",
    "Destroy it.",
    "https://fly.io/docs/flyctl/console/",
)
ROOT: Final = Rule(
    "machine-runs-as-root",
    Topic.MACHINES,
    Risk.LOW,
    "A program runs as root",
    "Whoever gets in through it may change the whole machine: its files, its agents, and what "
    "other programs in it hold.",
    "Name a user: USER in the Dockerfile, or user of the process or container.",
    "https://fly.io/docs/reference/configuration/",
)
UNLIMITED: Final = Rule(
    "restart-unlimited",
    Topic.MACHINES,
    Risk.LOW,
    "A machine is restarted without end",
    "A program that can't live with its config or a new secret starts and dies for ever: it never "
    "shows as failed, is paid for, and hammers what it calls at each start.",
    "Restart on failure only, a number of times.",
    _RESTARTS,
)
LOOP: Final = Rule(
    "restart-loop",
    Topic.MACHINES,
    Risk.MEDIUM,
    "A machine starts and dies, again and again",
    "Its policy restarts it without end. After a rotation that failed the cause may be a value "
    "that it can't live with.",
    "Look at its log, mend the cause, and give its restarts an end.",
    _RESTARTS,
)
OLD_MARK: Final = Rule(
    "rollout-mark-old",
    Topic.MACHINES,
    Risk.MEDIUM,
    "A machine was left out of rotator's newest rollout",
    "It runs with what an earlier rotation brought, which is revoked or about to be.",
    "Bring it to the newest secrets.",
    "https://fly.io/docs/apps/secrets/",
)
UNMANAGED: Final = Rule(
    "machine-unmanaged",
    Topic.MACHINES,
    Risk.LOW,
    "Machines stand beside those that Fly Launch deploys",
    "fly deploy and fly secrets pass them by, so that they keep old images and old secrets until "
    "somebody remembers them.",
    "Destroy them, move them to an app of their own, or let Fly Launch deploy them.",
    f"{_MACHINES}overview/",
)
REHEARSAL: Final = Rule(
    "rehearsal-left",
    Topic.MACHINES,
    Risk.LOW,
    "A machine that rotator made for a rollout was left",
    "It was to live for minutes. It holds the app's secrets and is paid for.",
    "Destroy it; rotator's next rollout of the app does so as well.",
    f"{_MACHINES}overview/",
)
RULES: Final = (
    SSH_SERVICE,
    LOOP,
    DEBUG,
    OLD_MARK,
    ROOT,
    UNLIMITED,
    CONSOLE,
    UNMANAGED,
    REHEARSAL,
)

_SSH_PORTS: Final = frozenset({22, 2222})
_DEBUG_PORTS: Final[Mapping[int, str]] = {
    2345: "Delve",
    5005: "Java's debugger",
    5678: "debugpy",
    9229: "Node's inspector",
}
_SWITCHES: Final = frozenset(
    {"debug", "flask_debug", "django_debug", "app_debug", "rails_debug", "werkzeug_debug"}
)
_ON: Final = frozenset({"1", "true", "yes", "on"})
_MODES: Final = frozenset({"node_env", "rails_env", "rack_env", "flask_env", "app_env", "mix_env"})
_DEVELOPMENT: Final = frozenset({"development", "dev"})
_DEBUGGER: Final = re.compile(r"--inspect(-brk)?\b|\bjdwp\b|\bdebugpy\b|\bdlv\b")
_OPTIONS: Final = frozenset(
    {"node_options", "java_tool_options", "java_opts", "jdk_java_options", "jvm_opts"}
)
_DEBUG_MARK: Final = re.compile(r"(^|[_.-])(debug|ssh|sshd)($|[_.-])", re.IGNORECASE)
_ROOT: Final = re.compile(r"(root|0)(:.*)?")


def check_machines(
    app: RunningApp, own: OwnRecord, scans: Mapping[str, ScanReport], now: datetime
) -> Iterator[Finding]:
    """Everything about the machines of one app. `scans` are the reports by digest."""
    yield from _ssh(app)
    for group, machines in app.groups().items():
        yield from _debug(app, group, machines)
        yield from _root(app, group, machines, scans)
        yield from _restarts(app, group, machines, own, now)
    yield from _left_out(app, own)
    yield from _unmanaged(app)
    yield from _leftovers(app, own, now)


def _ssh(app: RunningApp) -> Iterator[Finding]:
    found: dict[tuple[str, int], Service] = {}
    for group, service in app.services():
        numbers = {service.internal_port, *(port.start for port in service.ports)}
        http = any("http" in port.handlers for port in service.ports)
        if service.ports and not http and not _SSH_PORTS.isdisjoint(numbers):
            found.setdefault((group, service.internal_port), service)
    for (group, port), service in found.items():
        where = app.public[0].ip if app.public else "the private network"
        yield app.finding(
            SSH_SERVICE,
            f"service:{app.name}/{group}/{port}",
            f"{app.name} has a service on port {service.ports[0]} of {where} that leads to port "
            f"{port}, SSH by its number",
            f"take the [[services]] with internal_port = {port} out of fly.toml; then fly deploy "
            f"--app {app.name}; to log in: fly ssh console --app {app.name}",
            None if app.public else Risk.LOW,
        )


def _debug(app: RunningApp, group: str, machines: Sequence[RunningMachine]) -> Iterator[Finding]:
    signs = sorted({sign for machine in machines for sign in _signs(machine)})
    if not signs:
        return
    open_ports = sorted(
        {
            f"{_DEBUG_PORTS[service.internal_port]} on port {service.ports[0]}"
            for machine in machines
            for service in machine.services
            if service.ports and service.internal_port in _DEBUG_PORTS
        }
    )
    yield app.finding(
        DEBUG,
        f"group:{app.name}/{group}",
        f"machines of group {group} of {app.name} show debugging: {named([*open_ports, *signs])}",
        f"take it out of [env], [processes] and [[services]] of fly.toml; then fly deploy --app "
        f"{app.name}",
        Risk.HIGH if open_ports and app.public else None,
    )


def _signs(machine: RunningMachine) -> Iterator[str]:
    """What shows that debugging is on. Names only: no value comes out."""
    for variable in machine.variables:
        name, value = variable.name.lower(), variable.value.reveal().strip().lower()
        if name in _SWITCHES and value in _ON:
            yield f"{variable.name} is on"
        elif name in _MODES and value in _DEVELOPMENT:
            yield f"{variable.name} is {value}"
        elif name in _OPTIONS and _DEBUGGER.search(value):
            yield f"{variable.name} starts a debugger"
    if any(_DEBUGGER.search(argument.reveal()) for argument in machine.command):
        yield "its command starts a debugger"
    for key, text in machine.machine.metadata.items():
        if _DEBUG_MARK.search(key) and text.strip().lower() in _ON:
            yield f"its metadata says {key}"
    for service in machine.services:
        http = any("http" in port.handlers for port in service.ports)
        if service.ports and not http and service.internal_port in _DEBUG_PORTS:
            yield f"a service leads to {_DEBUG_PORTS[service.internal_port]}"


def _root(
    app: RunningApp,
    group: str,
    machines: Sequence[RunningMachine],
    scans: Mapping[str, ScanReport],
) -> Iterator[Finding]:
    """Where it can be told: by the config, else by what a scan report says of the image."""
    for machine in machines:
        report = scans.get(machine.image.digest)
        of_image = report.image_user if report is not None else None
        users = [user or of_image for user in machine.users] or [of_image]
        if not any(user is not None and _is_root(user) for user in users):
            continue
        by_config = any(user and _is_root(user) for user in machine.users)
        yield app.finding(
            ROOT,
            f"group:{app.name}/{group}",
            f"group {group} of {app.name} runs as root, by "
            + ("its config" if by_config or report is None else f"the report {report.source}"),
            f"USER in the Dockerfile of {app.name}"
            + (", and no user = 'root' of a process or container" if by_config else "")
            + f"; then fly deploy --app {app.name}",
        )
        return


def _is_root(user: str) -> bool:
    return not user or _ROOT.fullmatch(user) is not None


def _restarts(
    app: RunningApp,
    group: str,
    machines: Sequence[RunningMachine],
    own: OwnRecord,
    now: datetime,
) -> Iterator[Finding]:
    endless = [each for each in machines if each.complete and _endless(each)]
    if not endless:
        return
    looping = [each.machine.id for each in endless if _loops(each, now)]
    always = any(each.restarts.policy == "always" for each in endless)
    mend = (
        f"in fly.toml: [[restart]] policy = 'on-failure', retries = 10, processes = ['{group}']; "
        f"then fly deploy --app {app.name}"
    )
    if looping:
        failed = own.last_rollout is not None and own.last_rollout.failed
        yield app.finding(
            LOOP,
            f"group:{app.name}/{group}",
            f"{len(looping)} of {len(machines)} machines of group {group} of {app.name} "
            f"({named(looping)}) start and die without end"
            + (", and rotator's last rollout of it failed" if failed else ""),
            f"fly logs --app {app.name} --machine {looping[0]}; "
            + ("rotator rollout list; " if failed else "")
            + mend,
            Risk.HIGH if failed else None,
        )
    yield app.finding(
        UNLIMITED,
        f"group:{app.name}/{group}",
        f"group {group} of {app.name} is restarted "
        + ("always" if always else "on failure, with no number of tries in its config"),
        mend,
        None if always else Risk.NOTE,
    )


def _endless(machine: RunningMachine) -> bool:
    """Fly: `always` has no end. Without a number of its own what ends it is Fly's to choose."""
    restarts = machine.restarts
    return restarts.policy == "always" or (
        restarts.policy in ("", "on-failure") and not restarts.max_retries
    )


def _loops(machine: RunningMachine, now: datetime) -> bool:
    exits = machine.machine.exits
    return machine.machine.crash_looping and now - exits[0].at < SETTLING


def _left_out(app: RunningApp, own: OwnRecord) -> Iterator[Finding]:
    last = own.last_rollout
    if last is None or last.failed or own.under_way:
        return
    for each in app.living:
        machine = each.machine
        marked = machine.marked_secrets_version
        meant = not last.groups or each.group in last.groups
        older = each.made_at is not None and each.made_at < last.started_at - CLOCK_SKEW
        if not (marked and marked < last.secrets_version and machine.running and meant and older):
            continue
        if machine.metadata.get(MARK_ROLLOUT) == last.id or machine.reads is not None:
            continue
        yield app.finding(
            OLD_MARK,
            f"machine:{app.name}/{machine.id}",
            f"{machine.id} of {app.name} has the mark of secrets version {marked}; rotator's "
            f"newest rollout brought {last.secrets_version}",
            f"fly secrets deploy --app {app.name}",
        )


def _unmanaged(app: RunningApp) -> Iterator[Finding]:
    alone = [each.machine.id for each in app.living if each.complete and not each.managed]
    if not alone:
        return
    whole = len(alone) == len(app.living)
    yield app.finding(
        UNMANAGED,
        f"app:{app.name}",
        f"{len(alone)} of {len(app.living)} machines of {app.name} ({named(alone)}) "
        "are none of Fly Launch's",
        f"fly machine list --app {app.name}; fly machine destroy ID --app {app.name} for those "
        "that nothing needs",
        # Apps that are made by the Machines API alone are made so on purpose.
        Risk.NOTE if whole else None,
    )


def _leftovers(app: RunningApp, own: OwnRecord, now: datetime) -> Iterator[Finding]:
    for each in app.machines:
        machine, age = each.machine, now - each.machine.created_at
        if machine.state in GONE_STATES:
            continue
        destroy = f"fly machine destroy {machine.id} --app {app.name} --force"
        ours = machine.rehearses or (machine.stand_in_for is not None and machine.cordoned)
        if ours and age > SETTLING and not own.under_way:
            what = "a rehearsal" if machine.rehearses else f"a clone of {machine.stand_in_for}"
            yield app.finding(
                REHEARSAL,
                f"machine:{app.name}/{machine.id}",
                f"{machine.id} of {app.name} is {what} that rotator made {rough_duration(age)} ago",
                destroy,
            )
        elif each.group == CONSOLE_GROUP and age > CONSOLE_LEFT:
            yield app.finding(
                CONSOLE,
                f"machine:{app.name}/{machine.id}",
                f"{machine.id} of {app.name} was made by fly console {rough_duration(age)} ago",
                destroy,
            )
