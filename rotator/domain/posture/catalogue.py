"""All rules, by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rotator.domain.posture import rules_certificates
from rotator.domain.posture.finding import Rule

_ALL: Final[tuple[tuple[Rule, ...], ...]] = (rules_certificates.RULES,)
"""The rules of each module, in the order in which they are listed."""

RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rules in _ALL for rule in rules}
