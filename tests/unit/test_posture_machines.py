"""Rules on how machines run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.machines import (
    MARK_CLONE_OF,
    MARK_REHEARSAL,
    MARK_ROLLOUT,
    MARK_SECRETS_VERSION,
)
from rotator.domain.posture.finding import Topic
from rotator.domain.posture.rules_machines import RULES, check_machines
from rotator.domain.posture.running import LastRollout, OwnRecord, Port, Restarts, Service
from rotator.domain.posture.scans import ScanReport
from rotator.domain.risk import Risk
from tests.unit.builders import NOW
from tests.unit.running_builders import (
    DIGEST,
    FLYCAST,
    HTTPS,
    WEB,
    an_app,
    crashed,
    running,
    started,
)

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
SSH = Service("tcp", 22, (Port(10022, 10022),))
INSPECTOR = Service("tcp", 9229, (Port(9229, 9229),))
ALWAYS = Restarts("always")
GROUP = "group:web/app"
SUCCEEDED = LastRollout("R2", 7, NOW - DAY, failed=False)
FAILED = replace(SUCCEEDED, failed=True)
LATE = {MARK_ROLLOUT: "R1", MARK_SECRETS_VERSION: "3"}
LOOPING = (crashed(MINUTE), crashed(2 * MINUTE, count=4), started(3 * MINUTE))
OURS = {MARK_REHEARSAL: "app"}


def report(user: str | None) -> dict[str, ScanReport]:
    digests = frozenset({DIGEST})
    return {DIGEST: ScanReport("web.json", "Trivy", "web", digests, NOW, image_user=user)}


CASES = {
    "nothing is wrong": (running(WEB), None, None, set()),
    "SSH to the outside": (running(SSH), None, None, {("ssh-service", "service:web/app/22")}),
    "HTTP on a port near": (running(Service("tcp", 2222, (HTTPS,))), None, None, set()),
    "SSH without a port outside": (running(Service("tcp", 22)), None, None, set()),
    "debugging by a switch": (
        running(WEB, env={"FLASK_DEBUG": "1"}),
        None,
        None,
        {("machine-debug", GROUP)},
    ),
    "debugging switched off": (running(WEB, env={"DEBUG": "false"}), None, None, set()),
    "names of loggers are no switch": (running(WEB, env={"DEBUG": "app:*"}), None, None, set()),
    "development mode": (
        running(WEB, env={"NODE_ENV": "development"}),
        None,
        None,
        {("machine-debug", GROUP)},
    ),
    "production": (running(WEB, env={"RAILS_ENV": "production"}), None, None, set()),
    "a debugger by options": (
        running(WEB, env={"JAVA_TOOL_OPTIONS": "-agentlib:jdwp=transport=dt_socket"}),
        None,
        None,
        {("machine-debug", GROUP)},
    ),
    "a debugger by command": (
        running(WEB, command=("node", "--inspect=0.0.0.0:9229", "app.js")),
        None,
        None,
        {("machine-debug", GROUP)},
    ),
    "a program that inspects": (
        running(WEB, command=("inspector", "--inspection-level=3")),
        None,
        None,
        set(),
    ),
    "a debugger's service": (running(INSPECTOR), None, None, {("machine-debug", GROUP)}),
    "metadata that says so": (
        running(WEB, metadata={"ssh-enabled": "true"}),
        None,
        None,
        {("machine-debug", GROUP)},
    ),
    "metadata that does not": (running(WEB, metadata={"debug": "0"}), None, None, set()),
    "a console from last week": (
        running(group="fly_app_console", machine_id="1"),
        None,
        None,
        {("console-machine-left", "machine:web/1")},
    ),
    "a console of today": (
        running(group="fly_app_console", created_at=NOW - timedelta(hours=3)),
        None,
        None,
        set(),
    ),
    "root by config": (
        running(WEB, users=("app", "root")),
        None,
        None,
        {("machine-runs-as-root", GROUP)},
    ),
    "root by number": (
        running(WEB, users=("0:0",)),
        None,
        None,
        {("machine-runs-as-root", GROUP)},
    ),
    "a user by config": (running(WEB, users=("app",)), None, report(""), set()),
    "root by the image": (running(WEB), None, report(""), {("machine-runs-as-root", GROUP)}),
    "a user by the image": (running(WEB), None, report("app"), set()),
    "a report that does not tell the user": (running(WEB), None, report(None), set()),
    "restarted always": (
        running(WEB, restarts=ALWAYS),
        None,
        None,
        {("restart-unlimited", GROUP)},
    ),
    "restarted on failure without a number": (
        running(WEB, restarts=Restarts("on-failure", 0)),
        None,
        None,
        {("restart-unlimited", GROUP)},
    ),
    "never restarted": (running(WEB, restarts=Restarts("no")), None, None, set()),
    "what a machine out of reach does is not known": (
        running(WEB, restarts=Restarts(), config=None),
        None,
        None,
        set(),
    ),
    "a loop without end": (
        running(WEB, restarts=ALWAYS, events=LOOPING),
        None,
        None,
        {("restart-unlimited", GROUP), ("restart-loop", GROUP)},
    ),
    "a loop that ends": (running(WEB, events=LOOPING), None, None, set()),
    "a loop that has ended": (
        running(WEB, restarts=ALWAYS, events=(crashed(2 * DAY),)),
        None,
        None,
        {("restart-unlimited", GROUP)},
    ),
    "left out of a rollout": (
        running(WEB, metadata=LATE, machine_id="1"),
        OwnRecord(last_rollout=SUCCEEDED),
        None,
        {("rollout-mark-old", "machine:web/1")},
    ),
    "deployed since with the old mark": (
        running(WEB, metadata=LATE, made_at=NOW),
        OwnRecord(last_rollout=SUCCEEDED),
        None,
        set(),
    ),
    "of a group that the rollout was not for": (
        running(WEB, metadata=LATE),
        OwnRecord(last_rollout=replace(SUCCEEDED, groups=("worker",))),
        None,
        set(),
    ),
    "while a rollout is under way": (
        running(WEB, metadata=LATE),
        OwnRecord(last_rollout=SUCCEEDED, under_way=True),
        None,
        set(),
    ),
    "a rollout that failed brought nothing": (
        running(WEB, metadata=LATE),
        OwnRecord(last_rollout=FAILED),
        None,
        set(),
    ),
    "a machine that nobody deploys": (
        running(WEB, managed=False),
        None,
        None,
        {("machine-unmanaged", "app:web")},
    ),
    "a rehearsal that was left": (
        running(metadata=OURS, machine_id="1"),
        None,
        None,
        {("rehearsal-left", "machine:web/1")},
    ),
    "a rehearsal that is going on": (
        running(metadata=OURS, created_at=NOW - 5 * MINUTE),
        None,
        None,
        set(),
    ),
    "a clone that never took over": (
        running(metadata={MARK_CLONE_OF: "2"}, cordoned=True, machine_id="1"),
        None,
        None,
        {("rehearsal-left", "machine:web/1")},
    ),
    "a clone that took over": (running(WEB, metadata={MARK_CLONE_OF: "2"}), None, None, set()),
    "a rehearsal that is gone": (
        running(WEB, metadata=OURS, state="destroyed"),
        None,
        None,
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case)
def test_a_rule_is_found_where_it_should_be_and_only_there(case: str) -> None:
    machine, own, scans, expected = CASES[case]
    found = check_machines(an_app(machine), own or OwnRecord(), scans or {}, NOW)
    assert {(each.rule.id, each.subject) for each in found} == expected


def test_every_rule_is_found_somewhere_and_is_about_machines() -> None:
    assert {rule for *_, found in CASES.values() for rule, _ in found} == {r.id for r in RULES}
    assert {rule.topic for rule in RULES} == {Topic.MACHINES}


def test_a_loop_after_a_rollout_that_failed_is_worse() -> None:
    app = an_app(running(WEB, restarts=ALWAYS, events=LOOPING, machine_id="1"))
    for rollout, risk in ((None, Risk.MEDIUM), (SUCCEEDED, Risk.MEDIUM), (FAILED, Risk.HIGH)):
        loop, _ = check_machines(app, OwnRecord(last_rollout=rollout), {}, NOW)
        assert loop.severity is risk
    assert loop.message == (
        "1 of 1 machines of group app of web (1) start and die without end, and rotator's last "
        "rollout of it failed"
    )


def test_what_only_the_private_network_reaches_is_less_bad() -> None:
    outside, inside = (
        list(check_machines(an_app(running(SSH, INSPECTOR), **more), OwnRecord(), {}, NOW))  # type: ignore[arg-type]
        for more in ({}, {"addresses": (FLYCAST,)})
    )
    assert [each.severity for each in outside] == [Risk.HIGH, Risk.HIGH]
    assert [each.severity for each in inside] == [Risk.LOW, Risk.MEDIUM]


def test_machines_made_by_the_api_alone_are_only_noted() -> None:
    alone = running(WEB, managed=False)
    for app, risk in ((an_app(alone), Risk.NOTE), (an_app(alone, running(WEB)), Risk.LOW)):
        (finding,) = check_machines(app, OwnRecord(), {}, NOW)
        assert finding.severity is risk


def test_no_value_of_the_environment_comes_out() -> None:
    secret = "hunter2-hunter2"
    env = {"NODE_OPTIONS": f"--inspect --require=./{secret}.js", "FLASK_DEBUG": "1"}
    app = an_app(running(WEB, env=env, command=("dlv", secret)))
    (finding,) = check_machines(app, OwnRecord(), {}, NOW)
    assert secret not in repr(finding)
    assert "FLASK_DEBUG is on" in finding.message
