"""What a rollout asks of Fly, call by call: what the protocol needs, and not one call more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from rotator.domain.rotation import Rotation, RotationState, StepName, StepState
from rotator.engine import jobs
from rotator.simulator.model import Machine
from rotator.simulator.world import LogEntry
from tests.simulation.rollout_story import SECOND, asked, machines, newest_rollout, session, updates
from tests.simulation.story import Story, tell

LEASE_REFRESH = timedelta(seconds=10)
"""A third of the time to live of a lease."""
SHORTEST_POLL = timedelta(seconds=0.25)
RESTARTED = "lease read update wait (look )+release"
UNCHECKED = "lease read update wait lease look release"
"""One without health checks has to stay up for ten seconds, a third of its lease's time."""
ASLEEP = "lease read update wait release"


def sequence_of(machine: Machine) -> str:
    """The calls that its restart needs."""
    if machine.state == "stopped":
        return ASLEEP
    return RESTARTED if machine.config.get("services") else UNCHECKED


API = session().replace('app = "web"', 'app = "api"')


class Calls:
    """The requests of one roll-out step, sorted by what they are about."""

    def __init__(self, s: Story, app: str, entries: Sequence[LogEntry]) -> None:
        self.of_app: Counter[str] = Counter()
        self.of_machines: dict[str, list[tuple[str, LogEntry]]] = {}
        self.others: Counter[str] = Counter()
        for entry in entries:
            self._sort(app, entry)

    def _sort(self, app: str, entry: LogEntry) -> None:
        found = re.fullmatch(rf"/v1/apps/{app}/machines(?:/(\w+)(?:/(\w+))?)?", entry.path)
        if found is None:
            path = re.sub(r"(?<=/releases)/.*", "/ID", entry.path)
            self.others[" ".join([entry.method, path, *entry.graphql])] += 1
        elif found[1] is None:
            self.of_app[{"GET": "list", "POST": "create"}[entry.method]] += 1
        else:
            self.of_machines.setdefault(found[1], []).append((_verb(entry, found[2]), entry))

    def of(self, machine: Machine) -> str:
        """What was done to a machine, in words; a read after its wait is a look at its checks."""
        words = [verb for verb, _ in self.of_machines.get(machine.id, [])]
        waited = words.index("wait") if "wait" in words else len(words)
        return " ".join("look" if w == "read" and i > waited else w for i, w in enumerate(words))

    def looks(self, machine: Machine) -> list[LogEntry]:
        """The looks at its checks."""
        words = self.of(machine).split()
        return [
            e for w, (_, e) in zip(words, self.of_machines[machine.id], strict=True) if w == "look"
        ]

    def first(self, machine: Machine, verb: str) -> LogEntry:
        """The first call of this kind to a machine."""
        return next(e for found, e in self.of_machines[machine.id] if found == verb)


def _verb(entry: LogEntry, tail: str | None) -> str:
    if entry.status not in (200, 201):
        return f"{entry.status}"
    names = {
        ("GET", None): "read",
        ("POST", None): "update",
        ("DELETE", None): "destroy",
        ("POST", "lease"): "lease",
        ("DELETE", "lease"): "release",
    }
    return names.get((entry.method, tail), tail or entry.method)


async def rolled(s: Story, manifest: str, *, app: str = "web") -> tuple[Rotation, Calls]:
    """Rotate, and give the calls between the write of the value and the next look at it."""
    await s.apply(manifest)
    rotation = await asked(s, "session")
    await s.work()
    return await s.rotation(rotation.id), calls_of(s, app)


def calls_of(s: Story, app: str = "web") -> Calls:
    log = list(s.world.fly.log)
    secrets = [e for e in log if e.path == f"/v1/apps/{app}/secrets"]
    written = max(e.seq for e in secrets if e.method == "POST")
    looked = min((e.seq for e in secrets if e.seq > written), default=log[-1].seq + 1)
    return Calls(s, app, [e for e in log if written < e.seq < looked])


def assert_looked_no_more_than_needed(calls: Calls, machine: Machine) -> None:
    """No look after the one that saw it healthy, none twice at a time, none before it could be."""
    looks = calls.looks(machine)
    assert machine.checks_pass_at is not None
    if "services" not in machine.config:
        assert len(looks) == 1
        return
    assert all(look.at < machine.checks_pass_at for look in looks[:-1])
    assert looks[-1].at >= machine.checks_pass_at
    tick = timedelta(microseconds=10)
    for earlier, later in pairwise(looks):
        assert later.at - earlier.at >= SHORTEST_POLL - tick


RELEASE = {
    "POST /graphql app": 1,
    "POST /api/v1/releases": 1,
    "PATCH /api/v1/releases/ID": 2,
}


def test_a_rolling_restart_makes_just_the_calls_of_the_protocol() -> None:
    async def story(s: Story) -> None:
        down = {m.id for m in machines(s) if m.state == "stopped"}
        rotation, calls = await rolled(s, session())
        assert rotation.state in (RotationState.RETIRING, RotationState.SUCCEEDED)
        everyone = [*machines(s), *machines(s, group="worker")]
        assert set(calls.of_machines) == {m.id for m in everyone}
        for machine in everyone:
            assert re.fullmatch(sequence_of(machine), calls.of(machine)), calls.of(machine)
            if machine.id in down:
                continue
            assert_looked_no_more_than_needed(calls, machine)
        _, rows = await newest_rollout(s)
        waves = {(r.process_group, r.wave) for r in rows if r.wave}
        groups = {group for group, _ in waves}
        # One for the plan and all first waves, one before each later wave, one after the last.
        assert calls.of_app == {"list": 1 + len(waves) - len(groups) + 1}
        assert calls.others == RELEASE

    tell(story)


def test_looks_begin_when_the_quickest_neighbour_was_healthy() -> None:
    async def story(s: Story) -> None:
        _, calls = await rolled(s, session())
        started = [m for m in machines(s) if m.state == "started"]
        started.sort(key=lambda m: calls.looks(m)[0].at)
        first, *others = started
        taken = calls.looks(first)[-1].at - calls.first(first, "wait").at
        for machine in others:
            begun = calls.looks(machine)[0].at - calls.first(machine, "wait").at
            assert begun >= min(taken, timedelta(seconds=1)) * 0.9

    tell(story)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ('drain = "2s"', "lease read cordon update wait (look )+uncordon release"),
        ('soak = "5s"', "lease read update wait (look )+release read"),
        ('strategy = "immediate"', RESTARTED),
        ('strategy = "canary"\ncanary_soak = "5s"', f"{RESTARTED}( read)?"),
    ],
)
def test_what_a_policy_adds_is_one_call_each(policy: str, expected: str) -> None:
    async def story(s: Story) -> None:
        _, calls = await rolled(s, session(policy))
        for machine in machines(s):
            if machine.state == "started":
                said = calls.of(machine)
                assert re.fullmatch(expected, re.sub(r"(?<=release) look", " read", said)), said

    tell(story)


@pytest.mark.parametrize(("grace", "refreshes"), [("2s", 0), ("12s", 1), ("22s", 2)])
def test_a_lease_is_refreshed_only_where_a_machine_takes_long(grace: str, refreshes: int) -> None:
    async def story(s: Story) -> None:
        slow = next(m for m in machines(s) if m.state == "started")
        slow.config["checks"] = {"alive": {"type": "http", "port": 80, "grace_period": grace}}
        _, calls = await rolled(s, session())
        for machine in machines(s):
            words = calls.of(machine).split()
            held = calls.first(machine, "release").at - calls.first(machine, "lease").at
            assert words.count("lease") == 1 + held // LEASE_REFRESH
        assert calls.of(slow).split().count("lease") == 1 + refreshes
        # Its first look came when its grace period was over, so there were few.
        assert len(calls.looks(slow)) <= 8

    tell(story)


def test_blue_green_makes_just_the_calls_of_the_protocol() -> None:
    async def story(s: Story) -> None:
        old = machines(s, "api")
        rotation, calls = await rolled(
            s, API.replace("\n", '\nstrategy = "blue-green"', 1), app="api"
        )
        assert rotation.state in (RotationState.RETIRING, RotationState.SUCCEEDED)
        new = machines(s, "api")
        assert {m.id for m in old}.isdisjoint(m.id for m in new)
        for machine in old:
            assert calls.of(machine) == "lease cordon destroy"
        for machine in new:
            assert re.fullmatch("wait (look )+uncordon", calls.of(machine)), calls.of(machine)
            assert_looked_no_more_than_needed(calls, machine)
        assert calls.of_app == {"list": 2, "create": len(old)}
        assert calls.others == RELEASE

    tell(story)


def test_next_start_touches_what_sleeps_and_nothing_else() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('strategy = "next-start"'))
        rotation = await asked(s, "session")
        await first_look(s, rotation)
        calls = calls_of(s)
        touched = {m.id for m in machines(s) if m.state == "stopped"}
        assert set(calls.of_machines) == touched
        for machine in machines(s):
            assert calls.of(machine) == (ASLEEP if machine.id in touched else "")
        # To see that something sleeps, under the app's lock, and after it was updated.
        assert calls.of_app == {"list": 3}
        assert not calls.others
        before = len(s.world.fly.log)
        await s.parts.clock.sleep(31)
        await first_look(s, rotation)
        again = Calls(s, "web", list(s.world.fly.log)[before:])
        assert (again.of_app, again.of_machines, again.others) == ({"list": 1}, {}, {})

    tell(story)


async def first_look(s: Story, rotation: Rotation) -> None:
    """Work until the roll-out step waits."""
    await jobs.Runner(s.parts).run_ready()
    async with s.parts.store.view() as unit:
        steps = await unit.steps(rotation.id)
    assert next(x for x in steps if x.name is StepName.ROLL_OUT).state is StepState.WAITING


def test_two_rotations_that_share_a_rollout_make_the_calls_of_one() -> None:
    async def story(s: Story) -> None:
        await s.apply(session() + SECOND)
        for name in ("session", "cookie"):
            await asked(s, name)
        await s.work()
        calls = calls_of(s)
        for machine in [*machines(s), *machines(s, group="worker")]:
            assert re.fullmatch(sequence_of(machine), calls.of(machine)), calls.of(machine)
        assert len(updates(s)) == len(calls.of_machines)
        assert calls.others == RELEASE

    tell(story)
