"""Read `rollout` and `disruption` tables: how machines are restarted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Final

from rotator.domain.names import wrong_region
from rotator.domain.policy import (
    Asleep,
    DisruptionBudget,
    OnFailure,
    Order,
    Probe,
    Rehearsal,
    RolloutPolicy,
    Share,
    Strategy,
)
from rotator.manifest.reader import Table

STRATEGIES: Final = ", ".join(strategy.value for strategy in Strategy)
_SPANS: Final = {
    "stagger": "10s",
    "smoke": "10s",
    "soak": "30s",
    "canary_soak": "1m",
    "drain": "10s",
    "start_timeout": "5m",
    "health_timeout": "5m",
    "max_wait": "7d",
    "deadline": "7d",
    "coalesce": "15m",
}
_PROBE: Final = 'probe = { port = 8080, path = "/healthz" }'
_REHEARSAL: Final = 'rehearsal = true or rehearsal = { command = ["/bin/app", "check"] }'


def read_rollout(table: Table, base: RolloutPolicy) -> RolloutPolicy:
    """A rollout policy: what the table says over what `base` says."""
    before = len(table.problems.found)
    spans = {name: table.span(name, f'{name} = "{value}"') for name, value in _SPANS.items()}
    policy = replace(
        base,
        **{name: span for name, span in spans.items() if span is not None},  # type: ignore[arg-type]
    )
    policy = _how(table, policy)
    policy = _which(table, policy)
    policy = _failure(table, policy)
    policy = replace(
        policy,
        probe=_probe(table, policy.probe),
        rehearsal=_rehearsal(table, policy.rehearsal),
        release=_boolean(table, "release", policy.release),
    )
    table.finish()
    if len(table.problems.found) == before:
        _check(table, policy)
    return policy


def _how(table: Table, policy: RolloutPolicy) -> RolloutPolicy:
    strategy = table.choice("strategy", Strategy, STRATEGIES, 'strategy = "rolling"')
    asleep = table.choice("asleep", Asleep, "update, next-start", 'asleep = "update"')
    canary = table.integer("canary", "canary = 1", low=0, high=1000)
    limit = table.integer("max_rollouts_per_day", "max_rollouts_per_day = 4", low=1, high=1000)
    return replace(
        policy,
        strategy=strategy or policy.strategy,
        asleep=asleep or policy.asleep,
        canary=policy.canary if canary is None else canary,
        max_rollouts_per_day=limit or policy.max_rollouts_per_day,
        max_unavailable=_share(table, "max_unavailable") or policy.max_unavailable,
        allow_single=_boolean(table, "allow_single", policy.allow_single),
    )


def _which(table: Table, policy: RolloutPolicy) -> RolloutPolicy:
    order = table.choice("order", Order, "region, spread", 'order = "region"')
    regions = {
        name: _texts(table, name, f'{name} = ["fra", "iad"]', getattr(policy, name))
        for name in ("first", "last")
    }
    for name, codes in regions.items():
        for code in codes:
            problem = wrong_region(code)
            if problem is not None:
                table.wrong(name, problem, f'{name} = ["fra", "iad"]')
    both = set(regions["first"]) & set(regions["last"])
    if both:
        table.wrong("last", f"names {', '.join(sorted(both))}, which is in `first` too")
    return replace(
        policy,
        order=order or policy.order,
        first=regions["first"],
        last=regions["last"],
        groups=_texts(table, "groups", 'groups = ["web", "worker"]', policy.groups),
    )


def _failure(table: Table, policy: RolloutPolicy) -> RolloutPolicy:
    choice = table.choice("on_failure", OnFailure, "undo, pause, continue", 'on_failure = "undo"')
    return replace(
        policy,
        on_failure=choice or policy.on_failure,
        failure_budget=_share(table, "failure_budget") or policy.failure_budget,
    )


def _check(table: Table, policy: RolloutPolicy) -> None:
    """What can't be right about a rollout policy as a whole."""
    if policy.on_failure is OnFailure.CONTINUE and policy.failure_budget is None:
        table.wrong(
            "on_failure",
            "goes on after failures without a stated `failure_budget`",
            'on_failure = "continue", failure_budget = "5%"',
        )
    if policy.strategy is Strategy.IMMEDIATE and policy.rehearsal is None and policy.canary:
        table.wrong("canary", "has no meaning where all machines restart at once", "canary = 0")


def read_disruption(table: Table) -> DisruptionBudget:
    """The organisation's disruption budget."""
    found = {
        name: table.integer(name, f"{name} = 10", low=1, high=100_000)
        for name in ("at_once", "per_app", "per_region", "per_hour")
    }
    table.finish()
    return DisruptionBudget(**found)


def _probe(table: Table, base: Probe | None) -> Probe | None:
    inner = table.table("probe")
    if inner is None:
        return base
    port = inner.integer("port", _PROBE, low=1, high=65_535)
    if port is None and "port" not in inner:
        inner.wrong("port", "is missing", _PROBE)
    path = inner.text("path", _PROBE) or "/"
    if not path.startswith("/"):
        inner.wrong("path", f"{path!r} does not begin with a slash", _PROBE)
    status = inner.integer("status", "status = 200", low=100, high=599)
    timeout = inner.span("timeout", 'timeout = "5s"')
    inner.finish()
    if port is None:
        return None
    return Probe(port, path, status or 200, timeout or timedelta(seconds=5))


def _rehearsal(table: Table, base: Rehearsal | None) -> Rehearsal | None:
    """`true`, `false`, or a table with a command."""
    value = table.raw("rehearsal")
    if value is None:
        return base
    if isinstance(value, bool):
        return (base or Rehearsal()) if value else None
    inner = table.table("rehearsal")
    assert inner is not None
    command = _texts(inner, "command", _REHEARSAL, ())
    timeout = inner.span("timeout", 'timeout = "60s"')
    inner.finish()
    return Rehearsal(command, timeout or timedelta(seconds=60))


def _texts(table: Table, key: str, example: str, default: tuple[str, ...]) -> tuple[str, ...]:
    if key not in table:
        return default
    items = table.array(key, example)
    if not all(isinstance(item, str) and item for item in items):
        table.wrong(key, "is not a list of texts", example)
        return default
    return tuple(str(item) for item in items)


def _boolean(table: Table, key: str, default: bool) -> bool:
    value = table.raw(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        table.wrong(key, "is neither true nor false", f"{key} = true")
        return default
    return value


def _share(table: Table, key: str) -> Share | None:
    example = f'{key} = "33%" or {key} = 1'
    value = table.raw(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Share(count=value)
    percent = re.fullmatch(r"(\d{1,3})%", value) if isinstance(value, str) else None
    if percent is not None and 1 <= int(percent[1]) <= 100:
        return Share(percent=int(percent[1]))
    table.wrong(key, "is neither a number of machines nor 1% to 100%", example)
    return None
