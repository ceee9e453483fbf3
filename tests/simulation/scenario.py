"""What a seed stands for: faults and their rates, operators, deploys, kills."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from rotator.simulator.faults import FaultRates
from rotator.simulator.switches import Switches

MANIFEST = """
organization = "acme"
[defaults.policy]
every = "{every}"
overlap = "{overlap}"
[defaults.rollout]
max_unavailable = {unavailable}
canary = {canary}
stagger = "5s"
health_timeout = "90s"
[credentials.session]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "web", name = "SESSION_KEY" }} ]
[credentials.ci-web]
kind = "deploy-token"
app = "web"
targets = [
  {{ type = "fly-secret", app = "api", name = "WEB_DEPLOY_TOKEN" }},
  {{ type = "file", path = "{folder}/ci.token" }},
]
[credentials.office]
kind = "wireguard-peer"
region = "fra"
targets = [ {{ type = "file", path = "{folder}/wg.conf" }} ]
"""


@dataclass(frozen=True)
class Scenario:
    """One world's plan."""

    seed: int
    rates: FaultRates
    switches: Switches
    manifest: dict[str, str]
    kills: int
    wishes: int
    span: timedelta = timedelta(days=30)

    def text(self, folder: str) -> str:
        """The manifest."""
        return MANIFEST.format(folder=folder, **self.manifest)


def draw(seed: int) -> Scenario:
    """The scenario of a seed: a third of the worlds is calm, the others have some faults each."""
    rng = random.Random(f"scenario {seed}")
    rates = FaultRates()
    if seed % 3:
        for name in rng.sample(_FAULTS, k=rng.randint(1, 5)):
            setattr(rates, name, rng.uniform(0.002, 0.04))
        if rng.random() < 0.3:
            rates.never_healthy = 0.01
        if rng.random() < 0.3:
            rates.deploy = 0.004
        if rng.random() < 0.3:
            rates.unreachable = 0.003
    switches = Switches(
        update_of_stopped_starts=rng.random() < 0.5,
        restart_takes_secrets=rng.random() < 0.5,
        revocation_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        list_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        retry_after_on_429=rng.random() < 0.5,
        equal_value_keeps_digest_date=rng.random() < 0.5,
        app_actions_share_bucket=rng.random() < 0.5,
    )
    manifest = {
        "every": rng.choice(("7d", "12d")),
        "overlap": rng.choice(("0s", "10m", "1d")),
        "unavailable": rng.choice(("1", '"33%"', '"50%"')),
        "canary": rng.choice(("0", "1")),
    }
    return Scenario(seed, rates, switches, manifest, rng.randint(0, 6), rng.randint(0, 5))


_FAULTS = ("latency", "refused", "dropped", "lost", "error_after", "too_many", "html", "truncated")
