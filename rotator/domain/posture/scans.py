"""What a scanner has said of an image, and what finds such reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from rotator.domain.posture.policy import Scanner


class Severity(IntEnum):
    """How bad a vulnerability is, by the scanner's word."""

    UNKNOWN = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """As it is written."""
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Vulnerability:
    """One hole in one package. `fixed` is the version without it, "" where there is none yet."""

    severity: Severity
    id: str
    package: str = ""
    installed: str = ""
    fixed: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.package, self.installed) if part)
        text = f"{self.id} in {where}" if where else self.id
        return f"{text} (fixed in {self.fixed})" if self.fixed else text


@dataclass(frozen=True)
class ScanReport:
    """One report. `digests` are those of the image that it is about; `worst` are the first few
    vulnerabilities, the worst first, `counts` tells of all. `image_user` is whom the image runs as
    ("" for root by default), None where the report does not say; so are `built_at` and
    `base_ended`: whether nobody mends the distribution any more."""

    source: str
    tool: str
    image: str
    digests: frozenset[str]
    at: datetime | None
    counts: tuple[tuple[Severity, int], ...] = ()
    worst: tuple[Vulnerability, ...] = ()
    fixable: int = 0
    built_at: datetime | None = None
    base: str = ""
    base_ended: bool | None = None
    image_user: str | None = None

    def count(self, severity: Severity) -> int:
        """How many of this severity."""
        return dict(self.counts).get(severity, 0)


@dataclass(frozen=True)
class Unreadable:
    """A file that should be a report and can't be read as one. `source` is its name."""

    source: str
    why: str


@dataclass(frozen=True)
class ReportFolder:
    """All reports of a folder: the newest of each digest counts."""

    reports: Sequence[ScanReport] = ()
    unreadable: Sequence[Unreadable] = ()


@dataclass(frozen=True)
class ScanWish:
    """An image to scan: by its digest, so that what runs is what is scanned."""

    image: str
    digest: str


class Scans(Protocol):
    """Finds reports, or makes them. Changes nothing on Fly."""

    async def read(self, path: str) -> ReportFolder:
        """The reports of a folder, or the one file. `InputError` if there is no such place."""
        ...

    def ready(self, scanner: Scanner) -> None:
        """Whether the scanner can be run: `InputError` if it is not installed."""
        ...

    async def scan(self, scanner: Scanner, wish: ScanWish) -> ScanReport:
        """Run the scanner. `Unavailable` if it fails or takes too long, `Refused` of an image that
        can't be named, and what `ready` raises."""
        ...
