"""The API calls of a rollout, as its plan tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.domain.policy import RolloutPolicy, Strategy
from rotator.domain.rollout import Method, RolloutPlan


def rollout_calls(app: str, plan: RolloutPlan, policy: RolloutPolicy) -> tuple[str, ...]:
    """The calls of one rollout, in order; those of one machine are the same for each."""
    return tuple(_calls(app, plan, policy))


def _calls(app: str, plan: RolloutPlan, policy: RolloutPolicy) -> Iterator[str]:
    base = f"/v1/apps/{app}/machines"
    waves = "1 wave" if plan.waves == 1 else f"each of {plan.waves} waves"
    yield f"GET {base}" + (f" (at first, and before {waves})" if plan.waves else "")
    if policy.release and plan.restarts:
        yield "POST /api/v1/releases, PATCH /api/v1/releases/ID (twice: it runs, it ends)"
    if plan.leftovers:
        yield f"for each of {len(plan.leftovers)} left over: DELETE {base}/ID"
    yield from _rehearsals(base, plan, policy)
    in_place = sum(len(w) for c in plan.chains if c.method is Method.IN_PLACE for w in c.waves)
    if in_place:
        yield f"for {_each(in_place, 'restart')}, below {base}/ID: {_restart(policy)}"
    cloned = plan.restarts - in_place
    if cloned:
        yield (
            f"for {_each(cloned, 'replacement')}: POST {base} (the clone); below {base}/CLONE: "
            f"GET, GET wait, GET until healthy, POST uncordon; below {base}/ID: POST lease, "
            "POST cordon, DELETE"
        )
    if plan.asleep:
        yield (
            f"for {_each(len(plan.asleep), 'sleeper')}, below {base}/ID: POST lease, GET, "
            "POST (skip_launch), GET wait, DELETE lease"
        )


def _rehearsals(base: str, plan: RolloutPlan, policy: RolloutPolicy) -> Iterator[str]:
    rehearsed = [
        each for each in plan.chains if any(not m.has_volume for wave in each.waves for m in wave)
    ]
    if policy.rehearsal is None or not rehearsed:
        return
    command = ", POST exec" if policy.rehearsal.command else ""
    yield (
        f"for {_each(len(rehearsed), 'rehearsal')}: POST {base} (a disposable machine); below it: "
        f"GET wait, GET until healthy{command}, DELETE"
    )


def _restart(policy: RolloutPolicy) -> str:
    calls = ["POST lease", "GET"]
    if policy.drain:
        calls.append("POST cordon (where it has services)")
    calls += ["POST", "GET wait", "GET until healthy"]
    if policy.drain:
        calls.append("POST uncordon")
    calls.append("DELETE lease")
    soaks = policy.soak or (policy.canaries and policy.canary_soak)
    if soaks and policy.strategy is not Strategy.IMMEDIATE:
        calls.append("GET after its soak")
    return ", ".join(calls)


def _each(count: int, one: str) -> str:
    return f"1 {one}" if count == 1 else f"each of {count} {one}s"
