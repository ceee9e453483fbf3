"""How quickly a rollout could possibly go, computed without the engine.

The bound rests on four things only, none of them chosen by rotator's code:

1. **Waves.** P4 lets at most `max_unavailable` machines of a process group be away at once, and
   one always stays; the machines go region by region, by id within a region, canaries first. This
   module cuts the waves itself, from that sentence, and never asks the planner.
2. **Boots.** For each machine the time from the request for its update until its checks pass, as
   the simulator's dice drew it: stop, boot, grace period, first checks. They are read from the
   simulator's own record of the machine, not from rotator's. A wave can't be over before its
   slowest machine.
3. **Pauses of the policy**: `stagger` between two waves, `canary_soak` and `soak` after each.
   Groups run side by side, but none goes on before the canaries of all of them have passed.
4. **Rate limits of the Machines API** (Fly's docs; FACTS.md section 1): one request a second for
   each action and machine or app, bursts of three. A machine needs one request of each action, so
   they bind only where the app as a whole is asked: for the list of machines, which a plan can't do
   without, and for each machine that is created. Both take from one bucket, which the delivery of
   the value has just drawn on: what was left of it is computed from the simulator's log.

Requests take no time in the simulator, so none is counted on either side: whatever rotator needs
beyond the bound is its own polling, order and bookkeeping. Blue-green's two seconds, in which the
proxy learns of a new machine before the old one gives up its traffic, are counted as a pause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from benchmarks.fleets import APP, Boot, Seen
from rotator.simulator.world import LogEntry

PER_SECOND = 1.0
BURST = 3
PROXY_SECONDS = 2.0
APP_WIDE = re.compile(rf"/v1/apps/{APP}(/secrets|/machines)?")


@dataclass(frozen=True)
class Pace:
    """The parts of a policy that take time. `unavailable` is a number, or a share of the group."""

    unavailable: int | float = 0.33
    stagger: float = 10.0
    canaries: int = 0
    canary_soak: float = 30.0
    soak: float = 0.0
    at_once: bool = False
    clones: bool = False


def lower_bound(seen: Seen, pace: Pace) -> float:
    """Seconds that no rollout of these machines under this policy can stay below."""
    boots, tokens = seen.boots, _tokens(seen.earlier, seen.began_at)
    listed = _delay(1, tokens)
    if pace.clones:
        return _cloned(boots, pace, tokens)
    groups = [[b for b in boots if b.group == name] for name in {b.group for b in boots}]
    phases = [_in_place(group, pace) for group in groups]
    canaries = max(first for first, _ in phases)
    return listed + canaries + max(rest for _, rest in phases)


def _tokens(earlier: Sequence[LogEntry], at: datetime) -> float:
    """What is left at this moment of the bucket for requests about the app as a whole."""
    tokens, last = float(BURST), earlier[0].at
    for entry in earlier:
        if APP_WIDE.fullmatch(entry.path):
            passed = (entry.at - last).total_seconds()
            tokens, last = min(BURST, tokens + passed * PER_SECOND) - 1.0, entry.at
    return min(BURST, tokens + (at - last).total_seconds() * PER_SECOND)


def _delay(number: int, tokens: float) -> float:
    """Seconds until the app may be asked for the n-th time."""
    return max(0.0, (number - tokens) / PER_SECOND)


def _in_place(group: Sequence[Boot], pace: Pace) -> tuple[float, float]:
    """Seconds of the canaries, and of the rest, of one process group."""
    ordered = sorted(group, key=lambda b: (b.region, b.machine_id))
    size = len(ordered)
    share = pace.unavailable
    allowed = share if isinstance(share, int) else int(size * share)
    width = size if pace.at_once else max(1, min(allowed, size - 1))
    first = _waves(ordered[: pace.canaries], width)
    rest = _waves(ordered[pace.canaries :], width)
    early = sum(first) + pace.canary_soak * len(first) + pace.stagger * max(0, len(first) - 1)
    late = sum(rest) + pace.soak * len(rest) + pace.stagger * max(0, len(rest) - 1)
    if first and rest:
        late += pace.stagger
    return early, late


def _waves(boots: Sequence[Boot], width: int) -> list[float]:
    """How long the slowest machine of each wave takes."""
    return [max(b.seconds for b in boots[i : i + width]) for i in range(0, len(boots), width)]


def _cloned(boots: Sequence[Boot], pace: Pace, tokens: float) -> float:
    """All clones side by side, as quickly as they may be asked for after the list."""
    asked = sorted(boots, key=lambda b: b.asked_at)
    ready = [_delay(number, tokens) + boot.seconds for number, boot in enumerate(asked, start=2)]
    return max(ready) + pace.soak + PROXY_SECONDS
