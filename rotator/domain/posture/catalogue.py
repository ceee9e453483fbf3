"""All rules, by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rotator.domain.posture import (
    rules_certificates,
    rules_config,
    rules_environment,
    rules_images,
    rules_machines,
    rules_network,
    rules_peers,
    rules_people,
    rules_rotator,
    rules_secrets,
    rules_tokens,
)
from rotator.domain.posture.finding import Rule

_ALL: Final[tuple[tuple[Rule, ...], ...]] = (
    rules_config.RULES,
    rules_tokens.RULES,
    rules_peers.RULES,
    rules_people.RULES,
    rules_rotator.RULES,
    rules_environment.RULES,
    rules_images.RULES,
    rules_machines.RULES,
    rules_network.RULES,
    rules_secrets.RULES,
    rules_certificates.RULES,
)
"""The rules of each module, in the order in which they are listed."""

RULES: Final[Mapping[str, Rule]] = {rule.id: rule for rules in _ALL for rule in rules}
FILE_RULES: Final = frozenset(rule.id for rule in rules_config.RULES)
"""Those that are held against files; all others against what runs."""
