"""Whose token a leaked copy is.

A token keeps its nonce when it is narrowed, bound to a place, or parted from its discharges.
Fly's audit id of the nonce is what rotator calls the *lineage*: it is kept with every version that
rotator makes, and can't be turned back into the token. `fly.tracing` reads a text into traces;
here they are held against what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rotator.domain.credential import Credential, Issued, Version

LINEAGE: Final = "lineage"
"""Fact of a version: Fly's audit id of its token."""
PRINTS: Final = "prints"
"""Fact of a version: `fingerprint:caveats` of each copy that it was sealed or delivered as."""


@dataclass(frozen=True)
class Trace:
    """What one permission token of a text shows; nothing in it is secret.

    `caveats` counts them. `undischarged` names the third parties whose word is not in the text.
    """

    lineage: str
    fingerprint: str
    caveats: int
    undischarged: tuple[str, ...] = ()


class Kinship(StrEnum):
    """How a found token stands to the one that rotator made."""

    SAME = "same"
    NARROWED = "narrowed"
    WIDER = "wider"


@dataclass(frozen=True)
class Recognised:
    """A found token, and the version of the credential that it is or comes from."""

    trace: Trace
    kinship: Kinship
    credential: Credential
    version: Version

    @property
    def sentence(self) -> str:
        """For people: what was found."""
        said = _SENTENCES[self.kinship].format(name=self.credential.name)
        if self.trace.undischarged:
            missing = ", ".join(self.trace.undischarged)
            said += f"; the word of {missing} is not in it, which its finder may still get"
        return said


_SENTENCES: Final[Mapping[Kinship, str]] = {
    Kinship.SAME: "it is the token of {name}",
    Kinship.NARROWED: "it was narrowed from the token of {name}",
    Kinship.WIDER: (
        "it is of the token of {name}, but without the limits that rotator delivers it with"
    ),
}


def facts(lineage: str, prints: Mapping[str, int]) -> dict[str, str]:
    """What is kept with a version: its lineage, and its copies' fingerprints with their caveats."""
    kept = ",".join(f"{fingerprint}:{count}" for fingerprint, count in prints.items())
    return {LINEAGE: lineage, PRINTS: kept}


def prints_of(issued: Issued) -> Mapping[str, int]:
    """Caveats by fingerprint of each copy that a version was sealed or delivered as."""
    pairs = (pair.partition(":") for pair in issued.facts.get(PRINTS, "").split(",") if pair)
    return {fingerprint: int(count) for fingerprint, _, count in pairs}


def kinship(trace: Trace, issued: Issued) -> Kinship | None:
    """How a found token stands to a version's; None if they have nothing to do with each other.

    Caveats can only be added: what has no more of them than the least narrow copy, and is no copy,
    was not made from one.
    """
    if issued.facts.get(LINEAGE) != trace.lineage:
        return None
    prints = prints_of(issued)
    if trace.fingerprint in prints:
        return Kinship.SAME
    if prints and trace.caveats <= min(prints.values()):
        return Kinship.WIDER
    return Kinship.NARROWED
