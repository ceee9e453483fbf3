"""How bad something would be, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Risk(IntEnum):
    """How bad it would be. NOTE: nothing that an attacker gains by."""

    NOTE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """As it is written."""
        return self.name.lower()


@dataclass(frozen=True)
class RiskReason:
    """One reason. `code` is for scripts and stays the same."""

    risk: Risk
    code: str
    text: str
