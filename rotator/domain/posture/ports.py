"""What the posture job needs of whoever looks at what runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rotator.domain.posture.finding import Inspected, Topic
from rotator.domain.posture.policy import PosturePolicy


@dataclass(frozen=True)
class InspectionScope:
    """What is looked at: these organisations, or one app of the one organisation."""

    organizations: tuple[str, ...]
    app: str | None = None


class Inspector(Protocol):
    """Reads one part of what runs, and holds it against its rules. Changes nothing.

    What it may not read, or can't reach, it gives as `Missing` and goes on; it raises only what
    makes all of its answer worthless. Apps are read a few at a time, within the API's limits.
    """

    topics: frozenset[Topic]
    """Everything that its findings can be about."""

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """Look once."""
        ...
