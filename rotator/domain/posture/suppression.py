"""What a person has decided not to hear of for a while, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import translate
from functools import lru_cache
from typing import Final

from rotator.domain.posture.finding import Finding

_PATTERNS: Final = 4096
"""Compiled patterns that are held: more than a file of suppressions may have."""


@dataclass(frozen=True)
class Suppression:
    """Findings of one rule that are hidden. `until` is its last day, in UTC; `subject` is a pattern
    with * ? and [ ]; `where` is its file and line."""

    rule: str
    subject: str
    reason: str
    until: date
    where: str

    def fits(self, finding: Finding) -> bool:
        """Whether the finding is one of these, whatever day it is."""
        return finding.rule.id == self.rule and _matches(self.subject, finding.subject)

    def ended(self, today: date) -> bool:
        """Whether it hides nothing any more."""
        return today > self.until


@lru_cache(maxsize=_PATTERNS)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _matches(pattern: str, subject: str) -> bool:
    return _compiled(pattern).match(subject) is not None


def suppression_of(
    finding: Finding, suppressions: Sequence[Suppression], today: date
) -> Suppression | None:
    """The first one in force that hides a finding."""
    for each in suppressions:
        if not each.ended(today) and each.fits(finding):
            return each
    return None
