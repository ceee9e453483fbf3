"""The manifest of a plan, as text: it is read by rotator's own reader."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.domain.policy import Strategy
from tests.simulation.plan import CredentialPlan, RolloutPlan

HEAD = 'organization = "acme"\n'


def manifest_text(credentials: Iterable[CredentialPlan]) -> str:
    """The whole file."""
    return HEAD + "".join(_credential(each) for each in credentials)


def _credential(plan: CredentialPlan) -> str:
    lines = [f"[credentials.{plan.name}]", f'kind = "{plan.kind}"']
    if plan.kind == "deploy-token":
        lines.append(f'app = "{plan.app}"')
    if plan.kind == "wireguard-peer":
        lines.append('region = "fra"')
    targets = ", ".join(_target(target) for target in plan.targets)
    lines.append(f"targets = [ {targets} ]")
    lines.append(
        f'policy = {{ every = "{plan.every_hours}h", overlap = "{plan.overlap_minutes}m" }}'
    )
    lines.append(f"rollout = {{ {_rollout(plan.rollout)} }}")
    return "\n".join(lines) + "\n"


def _target(target: tuple[str, ...]) -> str:
    if target[0] == "file":
        return f'{{ type = "file", path = "{target[1]}" }}'
    return f'{{ type = "fly-secret", app = "{target[1]}", name = "{target[2]}" }}'


def _rollout(plan: RolloutPlan) -> str:
    share = plan.max_unavailable
    found = [
        f'strategy = "{plan.strategy.value}"',
        f"max_unavailable = {share}" if isinstance(share, int) else f'max_unavailable = "{share}"',
        "allow_single = true",
        f"canary = {plan.canary}",
        'canary_soak = "5s"',
        f'soak = "{plan.soak_seconds}s"',
        f'drain = "{plan.drain_seconds}s"',
        f'stagger = "{plan.stagger_seconds}s"',
        'start_timeout = "120s"',
        'health_timeout = "60s"',
        f'on_failure = "{plan.on_failure}"',
        f'asleep = "{plan.asleep}"',
        f"release = {'true' if plan.release else 'false'}",
        'deadline = "3h"',
        'max_wait = "1h"',
        'coalesce = "5m"',
    ]
    if plan.on_failure == "continue":
        found.append('failure_budget = "30%"')
    if plan.rehearsal:
        found.append("rehearsal = true")
    if plan.groups and plan.strategy is not Strategy.NONE:
        found.append(f"groups = [{', '.join(repr(g) for g in plan.groups)}]")
    return ", ".join(found)
