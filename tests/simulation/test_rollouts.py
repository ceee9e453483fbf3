"""Rollouts that nobody notices: under load, with every strategy, and when things go wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.credential import VersionState
from rotator.domain.events import Action
from rotator.domain.machines import Machine as SeenMachine
from rotator.domain.policy import Probe
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import (
    Mode,
    RestartState,
    RolloutState,
    RotationState,
)
from rotator.engine import jobs
from rotator.engine.request import abort, undo
from rotator.engine.rollouts.control import abort_rollout, pause, resume
from rotator.simulator import deploys, leases
from rotator.simulator import machines as fly_machines
from rotator.simulator.faults import Fault, Match
from rotator.simulator.machines import restart, stop
from tests.simulation.rollout_story import (
    PEER,
    SECOND,
    asked,
    failed_requests,
    held,
    instances,
    killed_when,
    machines,
    meanwhile,
    newest_rollout,
    requests_so_far,
    session,
    sickened,
    start_load,
    token,
    until,
    updates,
    values,
)
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

SUCCEEDED, ROLLED_BACK = RotationState.SUCCEEDED, RotationState.ROLLED_BACK


def test_a_rotation_of_every_kind_fails_no_request() -> None:
    async def story(s: Story) -> None:
        text = session() + token().split("\n\n")[1] + PEER.format(folder=s.world.folder)
        await s.apply(text)
        start_load(s)
        for name in ("session", "ci-web", "office"):
            await until(s, await asked(s, name), SUCCEEDED)
        assert failed_requests(s) == 0
        assert s.world.fly.load is not None
        for app, tally in s.world.fly.load.tallies.items():
            print(f"{app}: {tally.requests} requests, {tally.failed} failed")

    tell(story)


def test_immediate_shows_that_the_load_would_notice() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('strategy = "immediate"'))
        start_load(s)
        await until(s, await asked(s, "ci-web"), SUCCEEDED)
        assert failed_requests(s) > 50
        _, rows = await newest_rollout(s, "api")
        assert {row.wave for row in rows} == {1}

    tell(story)


def test_a_revocation_before_the_rollout_shows_that_the_load_would_notice() -> None:
    async def story(s: Story) -> None:
        await s.apply(token())
        await held(s, "ci-web")
        start_load(s)
        await until(s, await asked(s, "ci-web", Mode.REVOKE_FIRST), SUCCEEDED)
        assert failed_requests(s) > 50

    tell(story)


# Failure


def test_a_third_machine_that_never_gets_healthy_turns_the_fleet_back() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\nhealth_timeout = "40s"'))
        await held(s, "ci-web")
        before = values(s, "api", "WEB_DEPLOY_TOKEN")
        third = machines(s, "api")[2]
        start_load(s)
        rotation = await asked(s, "ci-web")
        await sickened(s, rotation, third)
        await until(s, rotation, ROLLED_BACK)
        assert values(s, "api", "WEB_DEPLOY_TOKEN") == before
        assert failed_requests(s) == 0

    tell(story)


def test_a_value_that_the_app_cannot_live_with_stops_at_the_canary() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('canary = 1\nhealth_timeout = "40s"'))
        await held(s, "session")
        before, stood = values(s), instances(s)
        start_load(s)
        s.world.fly.apps["web"].refuse_next.add("SESSION_KEY")
        await until(s, await asked(s, "session"), ROLLED_BACK)
        assert values(s) == before
        changed = {m for m, instance in instances(s).items() if stood[m] != instance}
        assert len(changed) <= 2, "a canary in each group, and nothing else"
        assert failed_requests(s) == 0

    tell(story)


def test_a_machine_without_checks_has_to_stay_up_before_it_counts_as_healthy() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('groups = ["worker"]'))
        await held(s, "session")
        before = {m.id for m in machines(s, "web", "worker")}
        s.world.fly.apps["web"].refuse_next.add("SESSION_KEY")
        rotation = await asked(s, "session")
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            failed = (await unit.rollouts_of(rotation.id))[0]
            rows = await unit.machine_restarts(failed.id)
        assert "starts and dies again" in (failed.error or "")
        touched = [row for row in rows if row.updated_at and row.machine_id in before]
        assert len(touched) == 1, "the other one was spared"

    tell(story)


def test_a_machine_that_is_sick_already_goes_first_and_holds_nobody_up() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1\ncanary = 1"))
        sick = machines(s, "api")[2]
        sick.unhealthy_instance = sick.instance_id
        rotation = await asked(s, "ci-web")
        await until(s, rotation, SUCCEEDED, minutes=10)
        _, rows = await newest_rollout(s, "api")
        assert {r.machine_id: r.note for r in rows if r.wave == 1} == {
            sick.id: "it was not healthy before"
        }

    tell(story)


@pytest.mark.parametrize("how", ["checks", "command"])
def test_a_rehearsal_that_fails_touches_no_machine_in_production(how: str) -> None:
    rehearsal = "true" if how == "checks" else '{ command = ["false"] }'

    async def story(s: Story) -> None:
        await s.apply(session(f'rehearsal = {rehearsal}\nhealth_timeout = "40s"'))
        await held_without_rehearsal(s)
        stood = instances(s)
        if how == "checks":
            s.world.fly.apps["web"].refuse_next.add("SESSION_KEY")
        rotation = await asked(s, "session")
        await until(s, rotation, ROLLED_BACK)
        assert instances(s) == stood
        async with s.parts.store.view() as unit:
            (rollout, *_) = await unit.rollouts_of(rotation.id)
            rows = await unit.machine_restarts(rollout.id)
        assert "the rehearsal failed" in " ".join(row.note for row in rows)

    async def held_without_rehearsal(s: Story) -> None:
        await s.apply(session())
        await held(s, "session")
        await s.apply(session(f'rehearsal = {rehearsal}\nhealth_timeout = "40s"'))

    tell(story)


def test_a_rehearsal_that_passes_leaves_nothing_behind() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('rehearsal = { command = ["true"] }'))
        before = set(instances(s))
        await until(s, await asked(s, "session"), SUCCEEDED)
        assert set(instances(s)) == before
        _, rows = await newest_rollout(s)
        assert sum(row.state is RestartState.REHEARSED for row in rows) == 2

    tell(story)


def test_a_rehearsal_whose_answer_was_lost_is_found_and_not_made_twice() -> None:
    async def story(s: Story) -> None:
        await s.apply(session("rehearsal = true\ngroups = ['app']"))
        before = set(instances(s))
        s.world.fly.faults.add(Fault("lost", Match("POST", "/v1/apps/web/machines")))
        await until(s, await asked(s, "session"), SUCCEEDED)
        assert set(instances(s)) == before
        made = [m for m in s.world.fly.apps["web"].machines if m not in before]
        assert len(made) == 1

    tell(story)


def test_a_failed_machine_pauses_the_rollout_until_a_person_lets_it_go_on() -> None:
    async def story(s: Story) -> None:
        care = 'on_failure = "pause"\nmax_unavailable = 1\ncanary = 1\ncanary_soak = "5m"'
        await s.apply(token(care + '\nhealth_timeout = "40s"'))
        sick = machines(s, "api")[1]
        rotation = await asked(s, "ci-web")
        await sickened(s, rotation, sick)
        rollout, _ = await newest_rollout(s, "api")
        assert rollout.state is RolloutState.PAUSED
        assert sick.id in (rollout.error or "")
        assert (await s.rotation(rotation.id)).state is RotationState.RUNNING
        await s.days(2, step_hours=6)
        assert (await newest_rollout(s, "api"))[0].state is RolloutState.PAUSED
        sick.unhealthy_instance = ""
        await resume(s.parts, rollout.id, OPERATOR, "mended")
        began = s.parts.clock.now()
        await until(s, rotation, SUCCEEDED)
        ended, rows = await newest_rollout(s, "api")
        assert ended.id == rollout.id
        assert ended.ended_at is not None
        assert ended.ended_at - began < timedelta(minutes=2), "no canary soaks once more"
        (recovered,) = [row for row in rows if row.machine_id == sick.id]
        assert recovered.note.startswith("it has recovered since: not healthy within")
        assert recovered.wave > 1, "the wave in which it failed"
        assert {row.state for row in rows} <= {RestartState.HEALTHY, RestartState.UP_TO_DATE}

    tell(story)


def test_a_paused_rollout_is_aborted_and_everything_goes_back() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('on_failure = "pause"\nmax_unavailable = 1\nhealth_timeout = "40s"'))
        await held(s, "ci-web")
        before = values(s, "api", "WEB_DEPLOY_TOKEN")
        rotation = await asked(s, "ci-web")
        await sickened(s, rotation, machines(s, "api")[1])
        rollout, _ = await newest_rollout(s, "api")
        assert await abort_rollout(s.parts, rollout.id, OPERATOR, "no") == [rotation.id]
        await until(s, rotation, ROLLED_BACK)
        assert values(s, "api", "WEB_DEPLOY_TOKEN") == before

    tell(story)


def test_an_abort_in_the_middle_stops_before_the_next_wave_and_everything_goes_back() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        await held(s, "ci-web")
        before, seen = values(s, "api", "WEB_DEPLOY_TOKEN"), requests_so_far(s)
        rotation = await asked(s, "ci-web")
        await meanwhile(
            s,
            rotation,
            lambda r: r.state is RestartState.HEALTHY,
            lambda: abort(s.parts, rotation.id, OPERATOR, "second thoughts"),
        )
        await until(s, rotation, ROLLED_BACK)
        assert values(s, "api", "WEB_DEPLOY_TOKEN") == before
        assert len(updates(s, seen)) == 2, "one machine there, and the same one back"

    tell(story)


def test_an_abort_that_one_group_hears_of_first_lets_the_other_end_its_drain() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('max_unavailable = 1\ndrain = "2m"\nstagger = "1s"'))
        await held(s, "session")
        rotation = await asked(s, "session")
        await meanwhile(
            s,
            rotation,
            lambda r: r.state is RestartState.DRAINING,
            lambda: abort(s.parts, rotation.id, OPERATOR, "second thoughts"),
        )
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            _back, rollout, *_ = await unit.rollouts(app="web", limit=3)
            rows = await unit.machine_restarts(rollout.id)
        assert rollout.error == "the rotation was aborted by hand"
        assert {r.state for r in rows if r.drained_at} == {RestartState.HEALTHY}

    tell(story)


def test_a_machine_whose_drain_was_cut_off_gets_its_traffic_back_when_the_rotation_is_aborted() -> (
    None
):
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\ndrain = "30s"'))
        await held(s, "ci-web")
        rotation = await asked(s, "ci-web")
        heir = await killed_when(s, rotation, RestartState.DRAINING)
        (drained,) = [r for r in (await newest_rollout(heir, "api"))[1] if r.drained_at]
        cordoned = heir.world.fly.apps["api"].machines[drained.machine_id]
        cordoned.cordoned = True  # the call went out as the worker died
        await abort(heir.parts, rotation.id, OPERATOR, "no")
        await until(heir, rotation, ROLLED_BACK)
        assert not cordoned.cordoned

    tell(story)


def test_a_drained_machine_whose_host_goes_away_is_put_back_into_the_proxy_when_it_returns() -> (
    None
):
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\ndrain = "5s"'))
        away = min(machines(s, "api"), key=lambda m: (m.region, m.id))

        def come_back() -> None:
            away.host_status = "ok"

        def vanish() -> None:
            away.host_status = "unreachable"
            asyncio.get_running_loop().call_later(90, come_back)

        rotation = await asked(s, "ci-web")
        at_checks = RestartState.CHECKING
        await meanwhile(
            s, rotation, lambda r: r.machine_id == away.id and r.state is at_checks, vanish
        )
        await until(s, rotation, SUCCEEDED)
        assert not any(m.cordoned for m in machines(s, "api"))

    tell(story)


def test_a_roll_back_puts_back_what_the_failed_rollout_could_not_put_back() -> None:
    async def story(s: Story) -> None:
        care = 'max_unavailable = 2\ndrain = "5s"\nhealth_timeout = "20s"\nstart_timeout = "10s"'
        await s.apply(token(care))
        await held(s, "ci-web")
        away, sick, *_ = sorted(machines(s, "api"), key=lambda m: (m.region, m.id))

        def come_back() -> None:
            away.host_status = "ok"

        def go_wrong() -> None:
            away.host_status = "unreachable"
            sick.unhealthy_instance = sick.instance_id
            asyncio.get_running_loop().call_later(200, come_back)

        rotation = await asked(s, "ci-web")
        await meanwhile(
            s,
            rotation,
            lambda r: r.machine_id == sick.id and r.state is RestartState.STARTING,
            go_wrong,
        )
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            _, failed = await unit.rollouts(app="api", limit=2)
            (left,) = [r for r in await unit.machine_restarts(failed.id) if r.machine_id == away.id]
        assert failed.state is RolloutState.FAILED
        assert "drained until rollout" in left.note
        assert not any(m.cordoned for m in machines(s, "api"))

    tell(story)


def test_a_machine_that_somebody_else_has_cordoned_stays_theirs() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('drain = "3s"'))
        theirs = machines(s, "api")[0]
        theirs.cordoned = True
        await until(s, await asked(s, "ci-web"), SUCCEEDED)
        assert [m.cordoned for m in machines(s, "api")] == [True, False, False, False]

    tell(story)


def test_a_blue_green_switch_that_was_cut_off_and_aborted_gives_the_traffic_back_first() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('strategy = "blue-green"'))
        await held(s, "ci-web")
        stood = {m.id for m in machines(s, "api")}
        start_load(s)
        rotation = await asked(s, "ci-web")
        heir = await killed_when(s, rotation, RestartState.SWITCHING)
        for machine in machines(heir, "api"):  # as a second later: the clones had taken over
            machine.cordoned = machine.id in stood
        await abort(heir.parts, rotation.id, OPERATOR, "no")
        await until(heir, rotation, ROLLED_BACK)
        assert {m.id for m in machines(heir, "api")} == stood
        assert not any(m.cordoned for m in machines(heir, "api"))
        assert failed_requests(heir) == 0

    tell(story)


def test_a_rollout_goes_on_within_its_failure_budget_and_says_so() -> None:
    async def story(s: Story) -> None:
        policy = 'on_failure = "continue"\nfailure_budget = 1\nmax_unavailable = 2'
        await s.apply(token(policy + '\nhealth_timeout = "40s"'))
        rotation = await asked(s, "ci-web")
        await sickened(s, rotation, machines(s, "api")[1])
        await until(s, rotation, SUCCEEDED)
        rollout, rows = await newest_rollout(s, "api")
        assert [row.state for row in rows].count(RestartState.FAILED) == 1
        assert rollout.state is RolloutState.PARTIAL
        assert "not healthy within" in (rollout.error or "")

    tell(story)


def test_a_machine_that_flaps_within_the_soak_stops_the_rollout() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('soak = "1m"\nmax_unavailable = 1\nhealth_timeout = "40s"'))
        await held(s, "ci-web")
        first = machines(s, "api")[0]
        rotation = await asked(s, "ci-web")

        def crash() -> None:
            fly_machines.note(
                s.world.fly,
                first,
                s.parts.clock.now() + timedelta(seconds=1),
                ("exit", "stopped", "flyd"),
                {"exit_event": {"exit_code": 1, "requested_stop": False, "restarting": True}},
            )

        await meanwhile(
            s, rotation, lambda r: r.machine_id == first.id and r.healthy_at is not None, crash
        )
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            rollouts = await unit.rollouts_of(rotation.id)
        assert "within the soak" in (rollouts[0].error or "")

    tell(story)


def test_a_machine_that_the_proxy_puts_to_sleep_within_the_soak_did_what_it_should() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('soak = "1m"\nmax_unavailable = 1'))
        first = min(machines(s, "api"), key=lambda m: (m.region, m.id))
        rotation = await asked(s, "ci-web")
        await meanwhile(
            s,
            rotation,
            lambda r: r.machine_id == first.id and r.healthy_at is not None,
            lambda: fly_machines.stop(s.world.fly, first, source="proxy"),
        )
        await until(s, rotation, SUCCEEDED)

    tell(story)


# Other people and other powers


def test_a_deploy_in_the_middle_is_not_undone_and_not_repeated() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\nstagger = "40s"'))
        rotation = await asked(s, "ci-web")
        app = s.world.fly.apps["api"]

        async def deploy() -> None:
            await s.parts.clock.sleep(5)  # its lease is given back by then
            deploys.deploy(s.world.fly, app, force=True)

        await meanwhile(s, rotation, lambda r: r.state is RestartState.HEALTHY, deploy)
        await until(s, rotation, SUCCEEDED)
        newest = str(len(app.releases))
        shown = {m.config["metadata"]["fly_release_version"] for m in machines(s, "api")}  # type: ignore[index]
        assert shown == {newest}, "the deploy's release stays named"

    tell(story)


def test_a_machine_destroyed_in_the_middle_is_dropped() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        rotation = await asked(s, "ci-web")
        last = machines(s, "api")[-1]
        await meanwhile(
            s,
            rotation,
            lambda r: r.state is RestartState.HEALTHY,
            lambda: fly_machines.destroy(s.world.fly, last),
        )
        await until(s, rotation, SUCCEEDED)
        _, rows = await newest_rollout(s, "api")
        gone = [row for row in rows if row.machine_id == last.id]
        assert [row.state for row in gone] == [RestartState.GONE]

    tell(story)


def test_a_machine_that_appears_in_the_middle_is_picked_up() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        rotation = await asked(s, "ci-web")
        model = machines(s, "api")[0]

        def scale() -> None:
            made = fly_machines.create(s.world.fly, model.app, model.config, "fra")
            made.booted = made.pinned = replace(model.app.snapshot(), version=1)

        await meanwhile(s, rotation, lambda r: r.state is RestartState.HEALTHY, scale)
        await until(s, rotation, SUCCEEDED)
        assert len(values(s, "api", "WEB_DEPLOY_TOKEN")) == 1

    tell(story)


def test_an_unreachable_host_holds_the_revocation_until_it_is_back() -> None:
    async def story(s: Story) -> None:
        await s.apply(token(overlap="0s"))
        away = machines(s, "api")[3]
        away.host_status = "unreachable"
        start_load(s)
        rotation = await asked(s, "ci-web")
        await s.work()
        assert (await s.rotation(rotation.id)).state is RotationState.RUNNING
        assert len(s.living()) == 2, "the old value is still valid"
        away.host_status = "ok"
        await until(s, rotation, SUCCEEDED)
        assert len(s.living()) == 1
        assert failed_requests(s) == 0

    tell(story)


def test_a_lease_held_by_a_deploy_is_waited_for() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('start_timeout = "1m"'))
        taken = machines(s, "api")[0]
        leases.acquire(
            s.world.fly, taken, "", owner="deploy@example.com", ttl_seconds=400, description=""
        )
        rotation = await asked(s, "ci-web")
        await until(s, rotation, SUCCEEDED)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED

    tell(story)


def test_a_machine_is_not_taken_beside_the_one_to_which_somebodys_deploy_has_gone_on() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\nstart_timeout = "1m"'))
        first, second, *_ = sorted(machines(s, "api"), key=lambda m: (m.region, m.id))
        leases.acquire(
            s.world.fly, first, "", owner="deploy@example.com", ttl_seconds=15, description=""
        )
        rotation = await asked(s, "ci-web")
        work = asyncio.create_task(s.work())
        await s.parts.clock.sleep(21)  # the next try for the lease comes at 22 s
        restart(s.world.fly, second)
        await s.parts.clock.sleep(2)
        assert updates(s) == []
        assert first.lease is None
        await work
        await until(s, rotation, SUCCEEDED)

    tell(story)


def test_a_machine_that_is_stopped_between_two_tries_of_its_update_stays_down() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        first, *_ = sorted(machines(s, "api"), key=lambda m: (m.region, m.id))
        s.world.fly.switches = replace(s.world.fly.switches, update_of_stopped_starts=True)
        update = Match("POST", f"*/machines/{first.id}")
        s.world.fly.faults.add(Fault("refused", update, status=503))
        rotation = await asked(s, "ci-web")
        await meanwhile(
            s,
            rotation,
            lambda r: r.machine_id == first.id and r.state is RestartState.UPDATING,
            lambda: stop(s.world.fly, first),
        )
        await until(s, rotation, SUCCEEDED)
        assert first.state == "stopped"
        _, rows = await newest_rollout(s, "api")
        assert {r.state for r in rows if r.machine_id == first.id} == {RestartState.ASLEEP}

    tell(story)


def test_a_lease_that_was_stolen_after_it_ran_out_costs_no_second_restart() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        rotation = await asked(s, "ci-web")
        first = machines(s, "api")[0]

        def steal() -> None:
            first.lease = None
            leases.acquire(
                s.world.fly, first, "", owner="thief@example.com", ttl_seconds=60, description=""
            )

        await meanwhile(s, rotation, lambda r: r.state is RestartState.CHECKING, steal)
        await until(s, rotation, SUCCEEDED)
        assert len(updates(s)) == 4

    tell(story)


def test_an_api_that_is_down_for_ten_minutes_only_delays() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        start_load(s)
        rotation = await asked(s, "ci-web")

        async def outage() -> None:
            s.world.fly.faults.rates.refused = 1.0
            await s.parts.clock.sleep(600)
            s.world.fly.faults.rates.refused = 0.0

        await meanwhile(s, rotation, lambda r: r.state is RestartState.STARTING, outage)
        await until(s, rotation, SUCCEEDED, ROLLED_BACK)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED
        assert failed_requests(s) == 0
        assert len(updates(s)) == 4

    tell(story)


def test_a_token_that_is_refused_at_one_machine_lets_its_neighbours_end() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 2\ndrain = "5s"'))
        first, *_ = sorted(machines(s, "api"), key=lambda m: (m.region, m.id))
        path = f"/v1/apps/api/machines/{first.id}/cordon"
        s.world.fly.faults.add(Fault("refused", Match("POST", path), times=99, status=403))
        rotation = await asked(s, "ci-web")
        await until(s, rotation, RotationState.PARKED)
        _, rows = await newest_rollout(s, "api")
        assert [row.state for row in rows].count(RestartState.HEALTHY) == 1
        assert not any(m.cordoned for m in machines(s, "api"))

    tell(story)


def test_a_sick_machine_stops_the_rollout_also_where_another_one_has_to_wait() -> None:
    async def story(s: Story) -> None:
        care = 'max_unavailable = 2\nhealth_timeout = "20s"\nstart_timeout = "10s"'
        await s.apply(token(care))
        await held(s, "ci-web")
        sick, busy, *_ = sorted(machines(s, "api"), key=lambda m: (m.region, m.id))
        leases.acquire(
            s.world.fly, busy, "", owner="deploy@example.com", ttl_seconds=120, description=""
        )
        rotation = await asked(s, "ci-web")
        await sickened(s, rotation, sick)
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            rollouts = await unit.rollouts_of(rotation.id)
            (failed,) = [each for each in rollouts if each.state is RolloutState.FAILED]
            rows = await unit.machine_restarts(failed.id)
        assert sick.id in (failed.error or "")
        assert [row.machine_id for row in rows if row.updated_at] == [sick.id]

    tell(story)


def test_the_log_tells_how_a_rollout_went_that_stopped_beside_one_that_failed() -> None:
    async def story(s: Story) -> None:
        care = 'max_unavailable = 1\nhealth_timeout = "20s"\nstagger = "15s"'
        second = ', { type = "fly-secret", app = "web", name = "WEB_TOKEN" } ]'
        await s.apply(token(care).replace(" ]", second))
        await held(s, "ci-web")
        rotation = await asked(s, "ci-web")
        first = min(machines(s, "api"), key=lambda m: (m.region, m.id))
        await sickened(s, rotation, first)
        await until(s, rotation, ROLLED_BACK)
        async with s.parts.store.view() as unit:
            events = await unit.events(EventQuery(rotation_id=rotation.id, limit=1000))
        told = [
            (logged.event.app, logged.event.action is Action.STEP_INTENDED)
            for logged in events
            if logged.event.detail.get("step") == "roll-out"
        ]
        for app in ("api", "web"):
            assert told.count((app, True)) == told.count((app, False)) > 0, app

    tell(story)


PHASES = [
    RestartState.LEASING,
    RestartState.DRAINING,
    RestartState.UPDATING,
    RestartState.STARTING,
    RestartState.CHECKING,
    RestartState.HEALTHY,
]


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_in_any_phase_of_a_machine_restarts_none_of_them_twice(phase: RestartState) -> None:
    async def story(s: Story) -> None:
        await s.apply(token('max_unavailable = 1\ndrain = "3s"'))
        start_load(s)
        rotation = await asked(s, "ci-web")
        heir = await killed_when(s, rotation, phase)
        await until(heir, rotation, SUCCEEDED)
        assert len(updates(heir)) == 4
        assert len(set(updates(heir))) == 4
        assert failed_requests(heir) == 0
        assert not any(m.cordoned for m in machines(heir, "api"))

    tell(story)


# Strategies


def test_next_start_restarts_nothing_and_takes_each_machine_when_it_sleeps() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('strategy = "next-start"\nmax_wait = "1d"', overlap="0s"))
        running = [m for m in s.world.fly.apps["web"].machines.values() if m.state == "started"]
        stood = {m.id: m.instance_id for m in running}
        rotation = await asked(s, "session")
        await s.work()
        await s.days(1.1, step_hours=1)
        assert {m.id: m.instance_id for m in running} == stood
        assert (await s.rotation(rotation.id)).state is RotationState.RUNNING
        assert "rollout.waiting" in [str(a) for a in await s.actions()]
        for machine in running:
            fly_machines.stop(s.world.fly, machine, source="proxy")
            await s.days(0.05, step_hours=0.3)
            fly_machines.start(s.world.fly, machine, source="proxy")
        await s.days(0.1, step_hours=0.3)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED
        assert len(values(s)) == 1

    tell(story)


def test_next_release_waits_for_the_teams_deploy() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('strategy = "next-release"'))
        stood = instances(s)
        rotation = await asked(s, "session")
        await s.days(0.5, step_hours=1)
        assert instances(s) == stood
        deploys.deploy(s.world.fly, s.world.fly.apps["web"], force=True)
        await s.days(0.2, step_hours=0.5)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED
        assert not updates(s), "the deploy did it all"

    tell(story)


def test_next_release_restarts_by_itself_once_its_deadline_has_passed() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('strategy = "next-release"\ndeadline = "1d"'))
        rotation = await asked(s, "session")
        await s.days(0.2, step_hours=1)
        assert not updates(s)
        await s.days(1, step_hours=1)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED
        assert updates(s)

    tell(story)


def test_blue_green_replaces_a_group_of_one_without_a_failed_request() -> None:
    async def story(s: Story) -> None:
        for machine in machines(s, "api")[1:]:
            fly_machines.destroy(s.world.fly, machine)
        await s.apply(token('strategy = "blue-green"'))
        (old,) = machines(s, "api")
        start_load(s)
        await until(s, await asked(s, "ci-web"), SUCCEEDED)
        (new,) = machines(s, "api")
        assert new.id != old.id
        assert not new.cordoned
        assert failed_requests(s) == 0
        _, rows = await newest_rollout(s, "api")
        assert [(r.machine_id, r.replaced_by) for r in rows if r.replaced_by] == [(old.id, new.id)]

    tell(story)


def test_a_blue_green_rollout_that_fails_destroys_its_clones() -> None:
    async def story(s: Story) -> None:
        await s.apply(session())
        await held(s, "session")
        await s.apply(session('strategy = "blue-green"\nhealth_timeout = "40s"'))
        stood = instances(s)
        start_load(s)
        s.world.fly.apps["web"].refuse_next.add("SESSION_KEY")
        await until(s, await asked(s, "session"), ROLLED_BACK)
        kept = {m: i for m, i in instances(s).items() if m in stood}
        workers = {m.id for m in machines(s, "web", "worker")}
        assert {m for m in kept if kept[m] != stood[m]} <= workers
        assert len(machines(s)) == 4
        assert failed_requests(s) == 0

    tell(story)


@pytest.mark.parametrize(
    "phase", [RestartState.CLONING, RestartState.CHECKING, RestartState.SWITCHING]
)
def test_a_kill_in_a_blue_green_rollout_leaves_no_clone_behind(phase: RestartState) -> None:
    async def story(s: Story) -> None:
        await s.apply(token('strategy = "blue-green"'))
        start_load(s)
        rotation = await asked(s, "ci-web")
        heir = await killed_when(s, rotation, phase)
        await until(heir, rotation, SUCCEEDED)
        assert len(machines(heir, "api")) == 4
        assert not any(m.cordoned for m in machines(heir, "api"))
        assert failed_requests(heir) == 0

    tell(story)


def test_sleeping_machines_hold_the_revocation_back_where_the_policy_leaves_them() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('asleep = "next-start"', overlap="0s"))
        (asleep,) = [m for m in machines(s) if m.state == "stopped"]
        before = asleep.instance_id
        rotation = await asked(s, "session")
        await s.days(0.2, step_hours=0.5)
        assert asleep.instance_id == before
        assert (await s.rotation(rotation.id)).state is RotationState.RUNNING
        fly_machines.start(s.world.fly, asleep, source="proxy")
        await s.days(0.2, step_hours=0.5)
        assert (await s.rotation(rotation.id)).state is SUCCEEDED

    tell(story)


@pytest.mark.parametrize("kept", [False, True])
def test_suspended_machines_lose_their_old_memory_and_stay_down(kept: bool) -> None:
    async def story(s: Story) -> None:
        s.world.fly.switches.update_keeps_snapshot = kept
        machine = next(m for m in machines(s) if m.state == "started")
        fly_machines.suspend(s.world.fly, machine)
        await s.parts.clock.sleep(5)
        await s.apply(session(overlap="0s"))
        await until(s, await asked(s, "session"), SUCCEEDED)
        s.world.fly.advance()
        assert machine.state == "stopped"
        assert machine.booted is None, "nothing of the old value is left to resume"

    tell(story)


def test_draining_takes_a_machine_out_of_the_proxy_before_it_goes_down() -> None:
    async def story(s: Story) -> None:
        await s.apply(token('drain = "20s"\nmax_unavailable = 1'))
        await until(s, await asked(s, "ci-web"), SUCCEEDED)
        _, rows = await newest_rollout(s, "api")
        for row in rows:
            assert row.drained_at is not None
            assert row.updated_at is not None
            assert row.updated_at - row.drained_at >= timedelta(seconds=20)
        assert not any(m.cordoned for m in machines(s, "api"))

    tell(story)


def test_a_probe_of_our_own_has_the_last_word() -> None:
    class Deaf:
        async def probe(self, machine: SeenMachine, probe: Probe) -> str | None:
            return f"the probe {probe.path} got no answer"

    async def story(s: Story) -> None:
        await s.apply(token())
        await held(s, "ci-web")
        await s.apply(token('probe = { port = 8080, path = "/up" }\nhealth_timeout = "30s"'))
        deaf = Story(s.world, replace(s.parts, prober=Deaf()), s.life)
        rotation = await asked(deaf, "ci-web")
        await deaf.work()
        async with s.parts.store.view() as unit:
            (rollout, *_) = await unit.rollouts_of(rotation.id)
        assert "the probe /up got no answer" in (rollout.error or "")

    tell(story)


# Sharing, limits, people


def test_two_rotations_of_one_app_share_one_rollout() -> None:
    async def story(s: Story) -> None:
        await s.apply(session() + SECOND)
        before = requests_so_far(s)
        first, second = await asked(s, "session"), await asked(s, "cookie")
        await s.work()
        await until(s, first, SUCCEEDED)
        await until(s, second, SUCCEEDED)
        rollout, _ = await newest_rollout(s)
        async with s.parts.store.view() as unit:
            assert set(await unit.rotations_of(rollout.id)) == {first.id, second.id}
        counts = [updates(s, before).count(path) for path in set(updates(s, before))]
        assert set(counts) == {1}, "no machine restarts twice"

    tell(story)


def test_credentials_that_are_due_close_together_start_together() -> None:
    async def story(s: Story) -> None:
        await s.apply(session('coalesce = "30m"') + SECOND)
        await held(s, "session")
        await held(s, "cookie")
        async with s.parts.store.unit() as unit:
            now = s.parts.clock.now()
            for name, minutes in (("session", 0), ("cookie", 20)):
                credential = await unit.credential(name)
                assert credential is not None
                due = now + timedelta(days=31, minutes=minutes)
                await unit.save_credential(replace(credential, due_at=due))
        await s.parts.clock.sleep(31 * 86_400 + 1)
        queued = await jobs.find_due(s.parts)
        assert {rotation.credential_name for rotation in queued} == {"session", "cookie"}

    tell(story)


def test_no_more_rollouts_a_day_than_the_policy_allows() -> None:
    async def story(s: Story) -> None:
        await s.apply(session("max_rollouts_per_day = 1"))
        await until(s, await asked(s, "session"), SUCCEEDED)
        second = await asked(s, "session")
        await s.days(0.5, step_hours=1)
        assert (await s.rotation(second.id)).state is RotationState.RUNNING
        await s.days(0.6, step_hours=1)
        assert (await s.rotation(second.id)).state is SUCCEEDED

    tell(story)


def test_the_disruption_budget_counts_over_all_rollouts() -> None:
    async def story(s: Story) -> None:
        budget = "[disruption]\nat_once = 1\n"
        text = session('max_unavailable = "50%"') + token().split("\n\n")[1]
        await s.apply_whole(f'organization = "acme"\n{budget}' + text)
        first, second = await asked(s, "session"), await asked(s, "ci-web")
        worst = 0

        async def watch() -> None:
            nonlocal worst
            while True:
                async with s.parts.store.view() as unit:
                    worst = max(worst, len(await unit.disrupted("acme")))
                await s.parts.clock.sleep(0.1)

        watching = asyncio.create_task(watch())
        await until(s, first, SUCCEEDED)
        await until(s, second, SUCCEEDED)
        watching.cancel()
        assert worst == 1

    tell(story)


def test_a_rollout_is_paused_and_resumed_by_hand() -> None:
    async def story(s: Story) -> None:
        await s.apply(token("max_unavailable = 1"))
        rotation = await asked(s, "ci-web")

        async def stop() -> None:
            rollout, _ = await newest_rollout(s, "api")
            await pause(s.parts, rollout.id, OPERATOR, "wait a moment")

        await meanwhile(s, rotation, lambda r: r.state is RestartState.HEALTHY, stop)
        rollout, rows = await newest_rollout(s, "api")
        assert rollout.state is RolloutState.PAUSED
        assert any(row.state is RestartState.PLANNED for row in rows)
        await resume(s.parts, rollout.id, OPERATOR, "go on")
        await until(s, rotation, SUCCEEDED)
        assert len(updates(s)) == 4

    tell(story)


def test_within_the_overlap_the_consumers_go_back_to_the_old_value() -> None:
    async def story(s: Story) -> None:
        await s.apply(token(overlap="10h"))
        await held(s, "ci-web")
        before = values(s, "api", "WEB_DEPLOY_TOKEN")
        rotation = await s.rotate("ci-web")
        assert rotation.state is RotationState.RETIRING
        assert values(s, "api", "WEB_DEPLOY_TOKEN") != before
        start_load(s)
        await undo(s.parts, rotation.id, OPERATOR, "the new one breaks a customer")
        await until(s, rotation, ROLLED_BACK)
        assert values(s, "api", "WEB_DEPLOY_TOKEN") == before
        assert failed_requests(s) == 0
        states = [v.state for v in await s.versions("ci-web")]
        assert states.count(VersionState.CURRENT) == 1
        assert states[-1] is VersionState.DISCARDED
        assert len(s.living()) == 1
        assert await jobs.find_due(s.parts) == []

    tell(story)


@pytest.mark.parametrize("refused", [False, True])
def test_a_rollout_makes_a_release_and_does_without_where_fly_refuses(refused: bool) -> None:
    async def story(s: Story) -> None:
        await s.apply(session())
        if refused:
            fault = Fault("refused", Match("POST", "/api/v1/releases", ""), times=99, status=403)
            s.world.fly.faults.add(fault)
        before = len(s.world.fly.apps["web"].releases)
        await until(s, await asked(s, "session"), SUCCEEDED)
        app = s.world.fly.apps["web"]
        rollout, _ = await newest_rollout(s)
        if refused:
            assert len(app.releases) == before
            assert rollout.release_version is None
            return
        assert [r.status for r in app.releases[before:]] == ["complete"]
        shown = {
            m.config["metadata"]["fly_release_version"]  # type: ignore[index]
            for m in (*machines(s), *machines(s, "web", "worker"))
        }
        assert shown == {str(rollout.release_version)} == {str(app.releases[-1].version)}

    tell(story)


def test_a_deploys_release_is_not_taken_for_one_that_never_came_about() -> None:
    async def story(s: Story) -> None:
        await s.apply(session())
        app = s.world.fly.apps["web"]
        theirs = deploys.new_release(s.world.fly, app, s.parts.clock.now(), "somebody's deploy")
        theirs.status = "running"
        s.world.fly.faults.add(Fault("dropped", Match("POST", "/api/v1/releases", "")))
        before = len(app.releases)
        await until(s, await asked(s, "session"), SUCCEEDED)
        assert len(app.releases) == before
        assert theirs.status == "running"
        assert (await newest_rollout(s))[0].release_version is None

    tell(story)


def test_a_release_whose_answer_was_lost_is_found_and_a_deploys_own_is_left_alone() -> None:
    async def story(s: Story) -> None:
        await s.apply(session())
        app = s.world.fly.apps["web"]
        theirs = deploys.new_release(s.world.fly, app, s.parts.clock.now(), "somebody's deploy")
        theirs.status = "running"
        s.world.fly.faults.add(Fault("lost", Match("POST", "/api/v1/releases", "")))
        before = len(app.releases)
        await until(s, await asked(s, "session"), SUCCEEDED)
        assert [r.status for r in app.releases[before:]] == ["complete"]
        assert theirs.status == "running"

    tell(story)


def test_a_group_of_one_is_refused_before_anything_is_touched() -> None:
    async def story(s: Story) -> None:
        for machine in machines(s, "api")[1:]:
            fly_machines.destroy(s.world.fly, machine)
        await s.apply(token())
        before = s.living()
        rotation = await s.rotate("ci-web")
        assert rotation.state is RotationState.PARKED
        assert rotation.parked is not None
        assert "allow_single" in rotation.parked.cause
        assert s.living() == before
        await s.apply(token("allow_single = true"))

    tell(story)
