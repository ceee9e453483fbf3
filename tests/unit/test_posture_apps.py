"""The inspector of apps as a whole, against a simulated Fly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.domain.credential import Credential, CredentialMode, CredentialStatus
from rotator.domain.errors import TokenRefused, Unavailable
from rotator.domain.policy import Policy, Strategy
from rotator.domain.posture.catalogue import RULES
from rotator.domain.posture.finding import Inspected, Missing, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.policy import Scanner as Tool
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.running import ListedApp, RunningApp, RunningApps
from rotator.domain.posture.scans import ReportFolder, ScanReport, Scans, ScanWish
from rotator.domain.rotation import Actor, Rollout, RolloutState, RotationState
from rotator.engine.parts import Parts
from rotator.engine.posture import apps as inspecting
from rotator.engine.posture.apps import AppsInspector
from rotator.engine.posture.own_record import SLACK, open_book, own_record
from rotator.scans.run import LocalScans
from rotator.simulator import addresses, app_secrets
from rotator.simulator.faults import Fault, Match
from rotator.simulator.model import Machine
from rotator.simulator.seed import add_app
from rotator.store.memory import MemoryStore
from rotator.system import SystemEntropy
from tests.contract.conversation import Conversation, conversation
from tests.unit.builders import a_policy, a_rotation, a_spec, a_target, new_id
from tests.unit.scan_documents import DIGEST as SCANNED
from tests.unit.scan_documents import trivy

CANARY = "4eC39HqLyjWDarjtT1zdp7dcXyZ"
ALWAYS_THERE = {
    ("public-address-without-service", "jobs", "app:jobs"),
    ("scan-missing", "", "organization:acme"),
}
"""What a seeded world has: a worker with public addresses, and nobody who scans."""
DAY = timedelta(days=1)


@dataclass
class World:
    """A simulated Fly, and an inspector that looks at it."""

    said: Conversation
    parts: Parts
    apps: RunningApps
    scans: Scans

    async def look(self, app: str | None = None, policy: PosturePolicy | None = None) -> Inspected:
        inspector = AppsInspector(self.parts, self.apps, self.scans)
        scope = InspectionScope(("acme",), app)
        return await inspector.inspect(scope, policy or PosturePolicy(), self.said.clock.now())

    def machine(self, app: str, place: int = 0) -> Machine:
        return list(self.said.world.apps[app].machines.values())[place]


@asynccontextmanager
async def a_world(scans: Scans | None = None) -> AsyncIterator[World]:
    async with conversation() as said:
        client = said.client
        parts = Parts(
            store=MemoryStore(None, said.clock),
            kinds={},
            targets={},
            fleet=client.fleet,
            releases=client.releases,
            prober=client.prober,
            authority=client.authority,
            calls=client.calls,
            clock=said.clock,
            entropy=SystemEntropy(),
            worker_id="w",
            actor=Actor("worker", "w"),
        )
        yield World(said, parts, client.running, scans or LocalScans({}))


def keys(found: Inspected) -> set[tuple[str, str, str]]:
    return {(each.rule.id, each.app, each.subject) for each in found.findings}


async def test_a_world_that_is_well_has_little_to_tell() -> None:
    async with a_world() as world:
        found = await world.look()
        assert keys(found) == ALWAYS_THERE
        assert found.missing == ()
        assert len(world.said.said) == 1 + 2 * 3, "a page of apps, and two calls an app"


async def test_what_is_wrong_is_found_and_no_value_comes_out() -> None:
    async with a_world() as world:
        fly, config = world.said.world, world.machine("web").config
        config["env"] = {"API_KEY": CANARY, "FLASK_DEBUG": "1"}
        config["restart"] = {"policy": "always"}
        config["services"] = [
            {"protocol": "tcp", "internal_port": 5432, "ports": [{"port": 5432}]},
            {
                "protocol": "tcp",
                "internal_port": 8080,
                "ports": [
                    {"port": 80, "handlers": ["http"]},
                    {
                        "port": 443,
                        "handlers": ["tls", "http"],
                        "tls_options": {"versions": ["TLSv1.1"], "default_self_signed": True},
                    },
                ],
            },
        ]
        config["init"] = {"cmd": ["serve", f"--db-password={CANARY}"]}
        config["processes"] = [{"user": "root"}]
        world.machine("api").config["image"] = "postgres:latest"
        web = fly.apps["web"]
        web.secrets["SESSION_KEY"].updated_at = world.said.clock.now() - 200 * DAY
        for app in (web, fly.apps["api"]):
            app_secrets.write(fly, app, {"SHARED": CANARY})
            app.secrets["SHARED"].digest = "same"
        found = await world.look()
    assert keys(found) - ALWAYS_THERE == {
        ("secret-in-live-env", "web", "env:web/API_KEY"),
        ("secret-in-live-env", "web", "env:web/db-password"),
        ("machine-debug", "web", "group:web/app"),
        ("restart-unlimited", "web", "group:web/app"),
        ("machine-runs-as-root", "web", "group:web/app"),
        ("private-service-public", "web", "service:web/app/5432"),
        ("force-https-missing", "web", "service:web/app/8080"),
        ("tls-version-old", "web", "service:web/app/8080"),
        ("tls-self-signed", "web", "service:web/app/8080"),
        ("image-by-tag", "api", "group:api/app"),
        ("image-digests-differ", "api", "group:api/app"),
        ("secret-old", "web", "secret:web/SESSION_KEY"),
        ("secret-shared", "web", "secret:web/SHARED"),
        ("secret-shared", "api", "secret:api/SHARED"),
    }
    assert CANARY not in repr(found)
    for finding in found.findings:
        assert finding.rule is RULES[finding.rule.id]
        assert finding.rule.topic in AppsInspector.topics
        assert finding.organization == "acme"
        assert finding.mend
        assert "\n" not in finding.message


async def test_one_app_is_looked_at_by_itself() -> None:
    async with a_world() as world:
        found = await world.look("jobs")
        assert keys(found) == {("public-address-without-service", "jobs", "app:jobs")}
        assert {each.path.split("/")[3] for each in world.said.said} == {"jobs"}


async def test_an_app_that_is_not_there_is_missing() -> None:
    async with a_world() as world:
        found = await world.look("gone")
    assert found.findings == ()
    assert {each.topic for each in found.missing} == AppsInspector.topics
    assert {(each.organization, each.app) for each in found.missing} == {("acme", "gone")}


async def test_an_app_that_can_not_be_read_leaves_the_others() -> None:
    async with a_world() as world:
        world.said.world.faults.add(
            Fault("refused", Match(path="/v1/apps/api/secrets"), times=99, status=403)
        )
        found = await world.look()
    assert keys(found) == ALWAYS_THERE
    assert {each.topic for each in found.missing if each.app == "api"} == AppsInspector.topics
    # Who holds the same values as api can't be told: nothing that was found before is resolved.
    assert [each.topic for each in found.missing if each.app == ""] == [Topic.SECRETS]


async def test_a_list_that_can_not_be_read_is_missing_whole() -> None:
    async with a_world() as world:
        world.said.world.faults.add(Fault("refused", Match(path="/graphql"), times=99, status=403))
        found = await world.look()
    assert {each.topic for each in found.missing if each.app == ""} == AppsInspector.topics
    assert "list the addresses of the apps of acme" in found.missing[0].why


async def test_a_machine_out_of_reach_keeps_the_findings_of_its_app() -> None:
    async with a_world() as world:
        world.machine("web").host_status = "unreachable"
        found = await world.look()
        machine = world.machine("web").id
    assert {each.topic for each in found.missing} == AppsInspector.topics
    assert {each.app for each in found.missing} == {"web"}
    assert machine in found.missing[0].why


async def test_a_token_that_is_not_accepted_for_anything_is_an_error() -> None:
    async with a_world() as world:
        world.said.world.faults.add(Fault("expired", times=99))
        with pytest.raises(TokenRefused):
            await world.look()


class Slow:
    """Reads apps that hold themselves up, and counts how many are read at once."""

    def __init__(self, inner: RunningApps, count: int) -> None:
        self._inner, self._count = inner, count
        self.at_once = self.most = 0

    async def listed(self, organization: str) -> AsyncIterator[Sequence[ListedApp]]:
        for begin in range(0, self._count, 50):
            yield [
                ListedApp(organization, f"app-{number}")
                for number in range(begin, min(begin + 50, self._count))
            ]

    async def one(self, organization: str, app: str) -> ListedApp:
        return ListedApp(organization, app)

    async def read(self, app: ListedApp) -> RunningApp:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        read = await self._inner.read(ListedApp(app.organization, "web"))
        self.at_once -= 1
        return replace(read, name=app.name)


async def test_many_apps_are_held_in_memory_a_few_at_a_time() -> None:
    async with a_world() as world:
        world.said.world.limits.enabled = False
        slow = Slow(world.apps, 60)
        world.apps = slow
        found = await world.look()
    assert slow.most == inspecting.APPS_AT_ONCE
    shared = {each.app for each in found.findings if each.rule.id == "secret-shared"}
    assert len(shared) == 60


async def test_an_app_that_takes_too_long_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "APP_SECONDS", 0.01)

    class Stuck(Slow):
        async def read(self, app: ListedApp) -> RunningApp:
            await asyncio.Event().wait()
            raise AssertionError

    async with a_world() as world:
        world.apps = Stuck(world.apps, 0)
        found = await world.look("web")
    assert {each.why for each in found.missing if each.app == "web"} == {
        "it was not read within 0.01 seconds"
    }


# Scan reports.


def scanned(machine: Machine) -> dict[str, object]:
    """A report about what a machine runs."""
    document = trivy()
    machine.image_digest = SCANNED
    return document


async def test_reports_of_a_folder_are_held_against_what_runs(tmp_path: Path) -> None:
    async with a_world() as world:
        for machine in world.said.world.apps["web"].machines.values():
            document = scanned(machine)
        (tmp_path / "web.json").write_text(json.dumps(document))
        policy = PosturePolicy(scan_reports=str(tmp_path), scan_max_age=3650 * DAY)
        found = await world.look(policy=policy)
    assert keys(found) - ALWAYS_THERE == {
        ("image-vulnerable", "web", "group:web/app"),
        ("image-vulnerable", "web", "group:web/worker"),
        ("base-image-ended", "web", "group:web/app"),
        ("base-image-ended", "web", "group:web/worker"),
        ("scan-missing", "api", "group:api/app"),
        ("scan-missing", "jobs", "group:jobs/worker"),
    }
    assert found.missing == ()


async def test_a_file_that_can_not_be_read_is_found_and_resolves_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text("{")
    async with a_world() as world:
        found = await world.look(policy=PosturePolicy(scan_reports=str(tmp_path)))
    assert ("scan-report-unreadable", "", "report:web.json") in keys(found)
    assert {(each.topic, each.app) for each in found.missing} == {
        (Topic.IMAGES, "web"),
        (Topic.IMAGES, "api"),
        (Topic.IMAGES, "jobs"),
    }
    assert "its report may be in web.json" in found.missing[0].why


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (PosturePolicy(scan_reports="/nowhere/at/all"), "no such folder"),
        (PosturePolicy(scanner=Tool.TRIVY), "trivy is not installed here"),
    ],
)
async def test_a_place_that_is_not_there_leaves_images_unknown_and_the_rest_as_it_is(
    policy: PosturePolicy, why: str
) -> None:
    async with a_world(LocalScans({"PATH": "/nowhere"})) as world:
        found = await world.look(policy=policy)
    assert keys(found) == {("public-address-without-service", "jobs", "app:jobs")}
    (missing,) = found.missing
    assert (missing.topic, missing.app) == (Topic.IMAGES, "")
    assert why in missing.why


class Scanner:
    """A scanner that finds nothing, or can't be run; remembers what it was given."""

    def __init__(self, *, broken: bool = False, takes: timedelta = timedelta(0)) -> None:
        self.wishes: list[ScanWish] = []
        self._broken, self._takes = broken, takes
        self.clock: object = None

    async def read(self, path: str) -> ReportFolder:
        return ReportFolder()

    def ready(self, scanner: Tool) -> None:
        return

    async def scan(self, scanner: Tool, wish: ScanWish) -> ScanReport:
        self.wishes.append(wish)
        await self.clock.sleep(self._takes.total_seconds())  # type: ignore[attr-defined]
        if self._broken:
            raise Unavailable("trivy ended with exit code 1")
        now = self.clock.now()  # type: ignore[attr-defined]
        return ScanReport(scanner.value, "Trivy", wish.image, frozenset({wish.digest}), now)


async def scan_with(scanner: Scanner) -> tuple[Inspected, Scanner]:
    async with a_world(scanner) as world:
        scanner.clock = world.said.clock
        return await world.look(policy=PosturePolicy(scanner=Tool.TRIVY)), scanner


async def test_what_has_no_report_is_scanned_once_by_its_digest() -> None:
    found, scanner = await scan_with(Scanner())
    assert keys(found) == {("public-address-without-service", "jobs", "app:jobs")}
    images = {wish.image for wish in scanner.wishes}
    assert images == {f"registry.fly.io/{app}" for app in ("web", "api", "jobs")}
    assert len(scanner.wishes) == 3
    assert all(wish.digest.startswith("sha256:") for wish in scanner.wishes)


async def test_a_scan_that_fails_leaves_the_image_unknown() -> None:
    found, scanner = await scan_with(Scanner(broken=True))
    assert {(each.topic, each.app) for each in found.missing} == {
        (Topic.IMAGES, app) for app in ("web", "api", "jobs")
    }
    assert "could not be scanned: trivy ended with exit code 1" in found.missing[0].why
    assert len(scanner.wishes) == 3


async def test_scans_end_in_time_and_the_rest_is_told_as_unknown() -> None:
    found, scanner = await scan_with(Scanner(takes=timedelta(minutes=7)))
    assert len(scanner.wishes) == 2
    assert [each.why for each in found.missing] == ["there was no time left to scan it"]


# What rotator's database says.


async def tracked(world: World, policy: Policy, **changes: object) -> Credential:
    spec = replace(a_spec(a_target("web"), policy=policy), **changes)  # type: ignore[arg-type]
    now = world.said.clock.now()
    credential = Credential(new_id(), spec, CredentialStatus.MANAGED, None, now, now)
    async with world.parts.store.unit() as unit:
        await unit.save_credential(credential)
    return credential


async def record_of(world: World, app: str = "web") -> object:
    store = world.parts.store
    return await own_record(store, await open_book(store), app)


@pytest.mark.parametrize(
    ("policy", "max_age"),
    [
        (Policy(max_age=30 * DAY), 30 * DAY),
        (Policy(every=30 * DAY, max_age=90 * DAY), 90 * DAY),
        (Policy(every=30 * DAY, jitter=DAY), 31 * DAY + SLACK),
        (Policy(cron="0 3 1 * *"), None),
        (Policy(), None),
    ],
)
async def test_a_tracked_secret_has_the_age_of_its_own_policy(
    policy: Policy, max_age: timedelta | None
) -> None:
    async with a_world() as world:
        await tracked(world, policy)
        own = await record_of(world)
        assert own.tracked["KEY"].max_age == max_age  # type: ignore[attr-defined]
        assert own.tracked["KEY"].credential == "session"  # type: ignore[attr-defined]
        assert (await record_of(world, "api")).tracked == {}  # type: ignore[attr-defined]


async def test_an_old_secret_that_is_only_observed_is_mended_by_rotating_it() -> None:
    async with a_world() as world:
        await tracked(world, Policy(max_age=DAY), mode=CredentialMode.OBSERVE)
        web = world.said.world.apps["web"]
        app_secrets.write(world.said.world, web, {"KEY": "x"})
        web.secrets["KEY"].updated_at -= 2 * DAY
        found = await world.look()
    (old,) = [each for each in found.findings if each.rule.id == "secret-old"]
    assert old.mend.startswith("mode = 'rotate' for session in rotator.toml")


@pytest.mark.parametrize(
    ("state", "under_way"),
    [
        (RotationState.QUEUED, True),
        (RotationState.RUNNING, True),
        (RotationState.UNDOING, True),
        (RotationState.RETIRING, False),
        (RotationState.PARKED, False),
        (RotationState.SUCCEEDED, False),
    ],
)
async def test_an_app_is_at_work_while_a_rotation_may_change_it(
    state: RotationState, under_way: bool
) -> None:
    async with a_world() as world:
        credential = await tracked(world, Policy())
        rotation = replace(a_rotation(state), credential_id=credential.id)
        async with world.parts.store.unit() as unit:
            await unit.add_rotation(rotation, [])
        assert (await record_of(world)).under_way is under_way  # type: ignore[attr-defined]
        assert (await record_of(world, "api")).under_way is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("state", "strategy", "last"),
    [
        (RolloutState.RUNNING, Strategy.ROLLING, None),
        (RolloutState.SUCCEEDED, Strategy.ROLLING, False),
        (RolloutState.FAILED, Strategy.BLUE_GREEN, True),
        (RolloutState.ABANDONED, Strategy.ROLLING, None),
        (RolloutState.SUCCEEDED, Strategy.NEXT_START, None),
    ],
)
async def test_the_newest_rollout_that_ended_is_known(
    state: RolloutState, strategy: Strategy, last: bool | None
) -> None:
    async with a_world() as world:
        policy = a_policy(strategy=strategy, groups=("app",))
        rollout = Rollout("R", "web", 7, policy, state, 1, world.said.clock.now())
        async with world.parts.store.unit() as unit:
            lock = await unit.lock_app("web", "w", DAY)
            assert lock is not None
            await unit.save_rollout(rollout, lock)
        own = await record_of(world)
    found = own.last_rollout  # type: ignore[attr-defined]
    assert (found and (found.failed, found.groups)) == (None if last is None else (last, ("app",)))
    assert own.under_way is (state is RolloutState.RUNNING)  # type: ignore[attr-defined]


async def test_apps_that_were_listed_and_are_gone_are_no_failure() -> None:
    async with a_world() as world:
        world.said.world.faults.add(
            Fault("refused", Match(path="/v1/apps/api/machines"), times=99, status=404)
        )
        found = await world.look()
    assert keys(found) == ALWAYS_THERE
    assert found.missing == ()


async def test_an_organisation_of_many_pages_is_read_whole() -> None:
    async with a_world() as world:
        fly = world.said.world
        for number in range(60):
            app = add_app(fly, fly.organizations["acme"], f"app-{number}", world.said.clock.now())
            addresses.assign(app, "v4", world.said.clock.now())
        found = await world.look()
    unused = [each for each in found.findings if each.rule.id == "dedicated-address-unused"]
    assert len(unused) == 60
    assert isinstance(found.missing, tuple)
    assert not [each for each in found.missing if isinstance(each, Missing)]
