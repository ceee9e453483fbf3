"""Draw the plan of a seed. Every part has dice of its own, so that one doesn't move the others."""

from __future__ import annotations

import random

from rotator.domain.policy import Strategy
from rotator.domain.rotation import StepName
from rotator.simulator.switches import Switches
from tests.simulation.plan import (
    Act,
    AppPlan,
    Backend,
    CredentialPlan,
    Freeze,
    GroupPlan,
    Jump,
    Kill,
    Loss,
    Plan,
    RolloutPlan,
)

DAY = 86_400.0
REGIONS = ("fra", "iad", "sin", "ams")
NETWORK_FAULTS = (
    "latency", "late", "stuck", "unconnected", "refused", "dropped", "lost", "error_after",
    "too_many", "html", "truncated", "stale", "empty", "lease_lost",
)  # fmt: skip
MACHINE_FAULTS = ("never_healthy", "crash_loop", "flap", "unreachable", "deploy")
DATABASE_FAULTS = ("locked", "full", "lost_before", "lost_after")
OPERATORS = (
    "rotate", "rotate", "rotate", "emergency", "revoke_first", "abort", "retry", "undo",
    "pause", "resume", "abort_rollout", "edit_manifest",
)  # fmt: skip
OTHERS = (
    "deploy", "scale_up", "scale_down", "restart", "start", "stop", "suspend",
    "delete_token", "set_secret", "renew_api_token",
)  # fmt: skip
STEPS = (*(step.value for step in StepName), "mint", "mint", "deliver", "retire")
"""Where deaths and losses are aimed at: mostly at what makes, writes and revokes values."""


def draw(seed: int) -> Plan:
    """The plan of a seed: one world in five is calm, one in forty is a month of a big company."""
    rng = random.Random(f"size {seed}")
    big = seed % 40 == 7
    days = 30.0 if big else rng.choice((3.0, 4.0, 6.0, 9.0))
    backend, workers = _backend(rng, seed)
    apps = _apps(random.Random(f"apps {seed}"), 5 if big else rng.randint(1, 3))
    credentials = _credentials(
        random.Random(f"credentials {seed}"), apps, 24 if big else rng.randint(1, 5), big=big
    )
    calm = seed % 5 == 0
    faults = random.Random(f"faults {seed}")
    people = random.Random(f"people {seed}")
    return Plan(
        seed=seed,
        days=days,
        backend=backend,
        workers=workers,
        apps=apps,
        credentials=credentials,
        switches=_switches(random.Random(f"switches {seed}")),
        rates=() if calm else _rates(faults),
        database_rates=() if calm else _database_rates(faults),
        slow_boots=0.0 if calm else faults.choice((0.0, 0.0, 0.02, 0.1)),
        acts=_acts(people, days, big=big),
        kills=() if calm else _kills(random.Random(f"kills {seed}"), days, workers),
        freezes=() if calm or workers == 1 else _freezes(random.Random(f"freezes {seed}"), workers),
        losses=() if calm else _losses(random.Random(f"losses {seed}")),
        jumps=() if calm else _jumps(random.Random(f"jumps {seed}"), days, workers),
    )


def _backend(rng: random.Random, seed: int) -> tuple[Backend, int]:
    if seed % 200 == 3:
        return Backend.SQLITE, 1
    if rng.random() < 0.4:
        return Backend.POSTGRESQL_LIKE, rng.choice((1, 2, 2, 2))
    return Backend.SQLITE_LIKE, 1


def _switches(rng: random.Random) -> Switches:
    return Switches(
        update_of_stopped_starts=rng.random() < 0.5,
        restart_takes_secrets=rng.random() < 0.5,
        start_takes_secrets=rng.random() < 0.8,
        revocation_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        list_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        retry_after_on_429=rng.random() < 0.5,
        equal_value_keeps_digest_date=rng.random() < 0.5,
        app_actions_share_bucket=rng.random() < 0.5,
        org_token_list_has_app_tokens=rng.random() < 0.5,
    )


def _apps(rng: random.Random, count: int) -> tuple[AppPlan, ...]:
    names = ("web", "api", "jobs", "ci", "mail", "shop", "auth")
    return tuple(AppPlan(name, _groups(rng)) for name in names[:count])


def _groups(rng: random.Random) -> tuple[GroupPlan, ...]:
    groups = [_group(rng, "app")]
    if rng.random() < 0.5:
        groups.append(_group(rng, "worker"))
    if rng.random() < 0.35:
        kind = rng.choice(("scheduled", "job", "standby", "foreign", "console", "picky"))
        groups.append(GroupPlan(f"{kind}s", (rng.choice(REGIONS),), checked=False, kind=kind))
    return tuple(groups)


def _group(rng: random.Random, name: str) -> GroupPlan:
    size = rng.choice((1, 2, 2, 3, 4, 5))
    regions = tuple(rng.choice(REGIONS[:3]) for _ in range(size))
    down = tuple(i for i in range(1, size) if rng.random() < 0.15)
    suspended = tuple(i for i in range(1, size) if i not in down and rng.random() < 0.12)
    kind = rng.choice(("plain", "plain", "plain", "autostop", "volume"))
    return GroupPlan(name, regions, rng.random() < 0.75, kind, down, suspended)


def _credentials(
    rng: random.Random, apps: tuple[AppPlan, ...], count: int, *, big: bool
) -> tuple[CredentialPlan, ...]:
    return tuple(_credential(rng, apps, number, big=big) for number in range(count))


def _credential(
    rng: random.Random, apps: tuple[AppPlan, ...], number: int, *, big: bool
) -> CredentialPlan:
    kind = rng.choice(("secret", "secret", "deploy-token", "deploy-token", "wireguard-peer"))
    app = rng.choice(apps).name
    file = ("file", f"/files/c{number}")
    secret = ("fly-secret", rng.choice(apps).name, f"C{number}")
    targets: tuple[tuple[str, ...], ...] = (secret,)
    if kind == "wireguard-peer":
        targets = (file,)
    elif rng.random() < 0.25:
        targets = (secret, file)
    elif rng.random() < 0.2 and len(apps) > 1:
        other = next(a.name for a in apps if a.name != secret[1])
        targets = (secret, ("fly-secret", other, f"C{number}"))
    return CredentialPlan(
        name=f"c{number}",
        kind=kind,
        app=app,
        targets=targets,
        every_hours=rng.choice((24 * 30, 24 * 21, 24 * 14) if big else (30, 50, 72)),
        overlap_minutes=rng.choice((0, 0, 10, 120, 600)),
        rollout=_rollout(rng, apps),
        adopted=rng.random() < 0.4,
    )


def _rollout(rng: random.Random, apps: tuple[AppPlan, ...]) -> RolloutPlan:
    strategy = rng.choices(
        (
            Strategy.ROLLING,
            Strategy.CANARY,
            Strategy.IMMEDIATE,
            Strategy.BLUE_GREEN,
            Strategy.NEXT_START,
            Strategy.NEXT_RELEASE,
        ),
        (52, 16, 8, 19, 2, 3),
    )[0]
    canary = 0 if strategy is Strategy.IMMEDIATE else rng.choice((0, 0, 1))
    return RolloutPlan(
        strategy=strategy,
        max_unavailable=rng.choice((1, 1, 2, "33%", "50%")),
        canary=canary,
        soak_seconds=rng.choice((0, 0, 10, 30)),
        drain_seconds=rng.choice((0, 0, 5)),
        rehearsal=rng.random() < 0.15,
        on_failure=rng.choice(("undo", "undo", "undo", "pause", "continue")),
        groups=rng.choice(((), (), (), ("app",))),
        asleep="next-start" if rng.random() < 0.06 else "update",
        release=rng.random() < 0.7,
        stagger_seconds=rng.choice((0, 5, 10)),
    )


def _rates(rng: random.Random) -> tuple[tuple[str, float], ...]:
    network = rng.sample(NETWORK_FAULTS, k=rng.randint(1, 5))
    found = [(kind, rng.choice((0.003, 0.01, 0.03))) for kind in network]
    found += [(kind, rng.choice((0.001, 0.004))) for kind in MACHINE_FAULTS if rng.random() < 0.3]
    if rng.random() < 0.05:
        found.append(("expired", 0.002))
    return tuple(found)


def _database_rates(rng: random.Random) -> tuple[tuple[str, float], ...]:
    return tuple(
        (kind, rng.choice((0.001, 0.005, 0.01))) for kind in DATABASE_FAULTS if rng.random() < 0.3
    )


def _acts(rng: random.Random, days: float, *, big: bool) -> tuple[Act, ...]:
    count = rng.randint(10, 40) if big else rng.randint(2, 14)
    found = []
    for _ in range(count):
        verb = rng.choice(OPERATORS if rng.random() < 0.6 else OTHERS)
        found.append(Act(rng.uniform(600, days * DAY), verb, rng.getrandbits(32)))
    return tuple(sorted(found, key=lambda act: act.at))


def _kills(rng: random.Random, days: float, workers: int) -> tuple[Kill, ...]:
    found = []
    for _ in range(rng.choice((0, 1, 2, 4))):
        worker, away = rng.randrange(workers), rng.choice((1.0, 20.0, 90.0, 3600.0))
        if rng.random() < 0.2:
            found.append(Kill(worker, away, at=rng.uniform(0, days * DAY)))
        else:
            phase = rng.choice(("before", "after", "amid", "committed"))
            found.append(
                Kill(worker, away, None, rng.choice(STEPS), phase, rng.choice((1, 1, 2, 3)))
            )
    return tuple(found)


def _freezes(rng: random.Random, workers: int) -> tuple[Freeze, ...]:
    return tuple(
        Freeze(
            rng.randrange(workers),
            rng.choice((50.0, 70.0, 130.0, 1200.0)),
            rng.choice(STEPS),
            rng.choice(("before", "after", "amid")),
            rng.choice((1, 1, 2)),
        )
        for _ in range(rng.choice((0, 1, 2)))
    )


def _losses(rng: random.Random) -> tuple[Loss, ...]:
    return tuple(
        Loss(rng.choice(STEPS), rng.choice((1, 1, 2, 3))) for _ in range(rng.choice((0, 1, 2)))
    )


def _jumps(rng: random.Random, days: float, workers: int) -> tuple[Jump, ...]:
    if rng.random() < 0.75:
        return ()
    size = rng.choice((5.0, 20.0, 300.0, 3600.0, 30_000.0))
    return (
        Jump(
            rng.randrange(workers),
            rng.uniform(0, days * DAY),
            rng.choice((-1, 1)) * size,
            rng.choice((60.0, 3600.0, 20_000.0)),
        ),
    )
