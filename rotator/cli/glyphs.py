"""The characters and colours of a drawn rollout: one of its own for each phase and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rotator.cli.timeline import Phase


@dataclass(frozen=True)
class Glyphs:
    """One character for each phase and each outcome."""

    phases: Mapping[Phase, str]
    good: str
    bad: str
    asleep: str
    unknown: str
    break_: str
    tick: str
    ellipsis: str


UNICODE: Final = Glyphs(
    {
        Phase.QUEUED: "·",
        Phase.LEASE: "┄",
        Phase.DRAIN: "░",
        Phase.UPDATE: "▒",
        Phase.BOOT: "▓",
        Phase.CHECKS: "█",
        Phase.READY: "─",
        Phase.SOAK: "═",
    },
    good="✓",
    bad="✗",
    asleep="z",
    unknown="?",
    break_="≈",
    tick="┬",
    ellipsis="…",
)
ASCII: Final = Glyphs(
    {
        Phase.QUEUED: ".",
        Phase.LEASE: "-",
        Phase.DRAIN: "d",
        Phase.UPDATE: "u",
        Phase.BOOT: "b",
        Phase.CHECKS: "#",
        Phase.READY: "_",
        Phase.SOAK: "=",
    },
    good="+",
    bad="x",
    asleep="z",
    unknown="?",
    break_="~",
    tick="|",
    ellipsis="~",
)
MEANINGS: Final[Mapping[Phase, str]] = {
    Phase.QUEUED: "queued",
    Phase.LEASE: "waits for its lease",
    Phase.DRAIN: "drained",
    Phase.UPDATE: "updated, stops",
    Phase.BOOT: "boots",
    Phase.CHECKS: "checks",
    Phase.READY: "ready",
    Phase.SOAK: "soak",
}
COLOURS: Final[Mapping[Phase, str]] = {
    Phase.QUEUED: "dim",
    Phase.LEASE: "yellow",
    Phase.DRAIN: "magenta",
    Phase.UPDATE: "blue",
    Phase.BOOT: "cyan",
    Phase.CHECKS: "yellow",
    Phase.READY: "green",
    Phase.SOAK: "green",
}
