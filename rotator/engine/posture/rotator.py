"""Holds rotator itself against its rules."""

from __future__ import annotations

from datetime import datetime

from rotator.domain.posture.finding import Inspected, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.rotator_facts import RotatorReader
from rotator.domain.posture.rules_rotator import check_rotator


class RotatorInspector:
    """Implements `domain.posture.ports.Inspector`. Where one app is looked at, rotator is not."""

    topics = frozenset({Topic.ROTATOR})

    def __init__(self, reader: RotatorReader) -> None:
        self._reader = reader

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """Look once."""
        if scope.app is not None:
            return Inspected()
        facts = await self._reader.read(now)
        return Inspected(check_rotator(facts, policy, now), facts.missing)
