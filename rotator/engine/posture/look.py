"""Ask all inspectors, one after the other, and put together what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rotator.domain.errors import InputError, RotatorError
from rotator.domain.posture.finding import Finding, Inspected, Missing, RotationWish, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope, Inspector

INSPECT_SECONDS: Final = 900
"""No inspector takes longer; what it has not read then is not read."""


async def inspect_all(
    inspectors: Sequence[Inspector],
    scope: InspectionScope,
    policy: PosturePolicy,
    now: datetime,
    *,
    bad_input_is_missing: bool = False,
) -> Inspected:
    """What they find, each thing once. An inspector that fails leaves its topics unread.

    Raises:
        InputError: the policy names something that is not there, unless that is `Missing` too.
    """
    findings: dict[str, Finding] = {}
    missing: list[Missing] = []
    wishes: list[RotationWish] = []
    for inspector in inspectors:
        try:
            async with asyncio.timeout(INSPECT_SECONDS):
                found = await inspector.inspect(scope, policy, now)
        except TimeoutError:
            missing += _all_of(inspector, scope, "it took too long")
            continue
        except InputError as error:
            if not bad_input_is_missing:
                raise
            missing += _all_of(inspector, scope, str(error))
            continue
        except RotatorError as error:
            missing += _all_of(inspector, scope, str(error))
            continue
        missing += found.missing
        wishes += found.wishes
        for finding in found.findings:
            known = findings.get(finding.fingerprint)
            if known is None or finding.severity > known.severity:
                findings[finding.fingerprint] = finding
    return Inspected(
        tuple(findings.values()), tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(wishes))
    )


def _all_of(inspector: Inspector, scope: InspectionScope, why: str) -> Sequence[Missing]:
    return [
        Missing(topic, organization, scope.app or "", why)
        for organization in scope.organizations
        for topic in sorted(inspector.topics)
    ]


def topics_of(inspectors: Sequence[Inspector]) -> frozenset[Topic]:
    """Everything that they look at."""
    return frozenset().union(*(inspector.topics for inspector in inspectors))
