"""What a Prometheus sees of a daemon: is it alive, what is due, what is stuck. No names, no values.

The gauges are set by the daemon's heartbeat from the database; a scrape reads memory only.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from rotator import __version__
from rotator.domain.alarms import AlarmKind
from rotator.domain.drift import TargetWatch
from rotator.domain.errors import InputError
from rotator.domain.hook import RequestOutcome
from rotator.domain.ports import Store
from rotator.domain.posture.certificate import CertificateState
from rotator.domain.risk import Risk
from rotator.domain.rotation import ACTIVE, RotationState

COUNT_AT_MOST = 1000
"""No count goes higher: what is beyond it needs a person, not a number."""
SHOWN_STATES = frozenset(ACTIVE | {RotationState.PARKED})


@dataclass(frozen=True)
class Standing:
    """How things stand: rotations by state, and how many credentials are due since when."""

    rotations: dict[RotationState, int]
    due: int
    due_since: datetime | None


async def look(store: Store, now: datetime) -> Standing:
    """Read how things stand. Costs as much as what is due and under way."""
    async with store.view() as unit:
        rotations = await unit.rotations(states=SHOWN_STATES, limit=COUNT_AT_MOST)
        due = await unit.due(now, COUNT_AT_MOST)
    times = [credential.due_at for credential in due if credential.due_at is not None]
    counted = Tally(rotation.state for rotation in rotations)
    return Standing(dict(counted), len(due), min(times, default=None))


class Metrics:
    """The daemon's gauges."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        info = Gauge("rotator_build_info", "The version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self._seen = Gauge(
            "rotator_heartbeat_timestamp_seconds",
            "When the daemon last wrote that it lives.",
            registry=self.registry,
        )
        self._rotations = Gauge(
            "rotator_rotations",
            "Rotations that have not ended well yet, by state.",
            ["state"],
            registry=self.registry,
        )
        self._due = Gauge(
            "rotator_credentials_due", "Credentials that wait to begin.", registry=self.registry
        )
        self._late = Gauge(
            "rotator_oldest_due_seconds",
            "How long the longest waiting of them has been due.",
            registry=self.registry,
        )

        self._alarms = Gauge(
            "rotator_alarms",
            "Values in use that have expired, expire before they are replaced, or are too old.",
            ["alarm"],
            registry=self.registry,
        )

        self._drifted = Gauge(
            "rotator_drifted_targets",
            "App secrets that hold somebody else's value: changed, or contested, where rotator has "
            "stopped writing.",
            ["state"],
            registry=self.registry,
        )

        self._findings = Gauge(
            "rotator_findings",
            "Open findings of the posture, by severity.",
            ["severity"],
            registry=self.registry,
        )

        self._certificates = Gauge(
            "rotator_certificates",
            "Hostnames of the organisation's apps, by how their certificates stand.",
            ["state"],
            registry=self.registry,
        )

        self._requests = Counter(
            "rotator_hook_requests",
            "Requests to hooks, by how they ended.",
            ["hook", "outcome"],
            registry=self.registry,
        )

    def inspected(self, standing: Mapping[Risk, int]) -> None:
        """Show the findings that are open."""
        for risk in Risk:
            self._findings.labels(risk.word).set(standing.get(risk, 0))

    def certificates_seen(self, states: Mapping[CertificateState, int]) -> None:
        """Show how certificates stood at the last look."""
        for state in CertificateState:
            self._certificates.labels(state.value).set(states.get(state, 0))

    def hook_request(self, hook: str, outcome: RequestOutcome) -> None:
        """Count one. Hooks that don't exist are `unknown`, so that strangers can't make series."""
        self._requests.labels(hook, outcome.value).inc()

    def reconciled(self, watches: Sequence[TargetWatch]) -> None:
        """Show what stands at targets."""
        drifted = [watch for watch in watches if watch.drifted]
        contested = sum(watch.contested_at is not None for watch in drifted)
        self._drifted.labels("contested").set(contested)
        self._drifted.labels("changed").set(len(drifted) - contested)

    def watched(self, standing: Mapping[AlarmKind, int]) -> None:
        """Show the alarms that stand."""
        for kind in AlarmKind:
            self._alarms.labels(kind.value).set(standing.get(kind, 0))

    def update(self, standing: Standing, now: datetime) -> None:
        """Show how things stand now."""
        self._seen.set(now.timestamp())
        for state in SHOWN_STATES:
            self._rotations.labels(state.value).set(standing.rotations.get(state, 0))
        self._due.set(standing.due)
        since = standing.due_since
        self._late.set((now - since).total_seconds() if since is not None else 0)

    def serve(self, port: int) -> None:
        """Answer scrapes on this port, all addresses: on Fly only the private network reaches it.

        Raises:
            InputError: the port is taken.
        """
        try:
            start_http_server(port, registry=self.registry)
        except OSError as error:
            raise InputError(
                f"port {port} can't be used: {(error.strerror or 'no reason given').lower()}",
                where="ROTATOR_METRICS_PORT",
                next_step="choose another one, or leave it unset",
            ) from None
