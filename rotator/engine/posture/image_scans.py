"""Reports of the images that run: those that lie there, and those that a scanner makes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from rotator.domain.errors import RotatorError
from rotator.domain.ports import Clock
from rotator.domain.posture.policy import PosturePolicy, Scanner
from rotator.domain.posture.rules_images import ScanRecord
from rotator.domain.posture.running import RunningApp, named
from rotator.domain.posture.scans import ScanReport, Scans, ScanWish, Unreadable

SCANS_TOGETHER: Final = timedelta(minutes=10)
"""How long all scans of one look may take; what is not scanned by then is next time."""


class ImageScans:
    """What is known of images, growing while apps are looked at. One image is scanned at a time,
    each digest once."""

    def __init__(self, scans: Scans, policy: PosturePolicy, clock: Clock) -> None:
        self._scans, self._policy, self._clock = scans, policy, clock
        self._known: dict[str, ScanReport] = {}
        self._failed: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._until = clock.now() + SCANS_TOGETHER
        self._usable = False
        self.unreadable: Sequence[Unreadable] = ()

    async def open(self) -> None:
        """Read the reports that lie there. `InputError` if there is no such place, or no such
        scanner: then nothing is said of reports at all."""
        if self._scanner is not Scanner.NONE:
            self._scans.ready(self._scanner)
        if self._policy.scan_reports:
            await self._read(self._policy.scan_reports)
        self._usable = True

    async def _read(self, path: str) -> None:
        folder = await self._scans.read(path)
        self.unreadable = folder.unreadable
        for report in folder.reports:
            for digest in report.digests:
                known = self._known.get(digest)
                if known is None or _time(report) >= _time(known):
                    self._known[digest] = report

    @property
    def wanted(self) -> bool:
        """Whether anybody looks for reports."""
        return bool(self._policy.scan_reports) or self._scanner is not Scanner.NONE

    def record(self) -> ScanRecord:
        """What is known by now."""
        return ScanRecord(self._known, wanted=self.wanted and self._usable)

    async def scan(self, app: RunningApp, now: datetime) -> str:
        """Scan what has no report, or an old one. Says why something has none after that, ""
        where all is well."""
        if not self._usable:
            return ""
        missing = dict(self._unscanned(app, now))
        if self._scanner is not Scanner.NONE:
            for digest, image in missing.items():
                async with self._turn:
                    await self._scan(ScanWish(image, digest))
        failed = [self._failed[digest] for digest in missing if digest in self._failed]
        absent = [digest for digest in missing if digest not in self._known]
        if absent and self.unreadable:
            files = named([each.source for each in self.unreadable])
            failed.append(f"its report may be in {files}, which can't be read")
        return "; ".join(dict.fromkeys(failed))

    def _unscanned(self, app: RunningApp, now: datetime) -> Iterator[tuple[str, str]]:
        for each in app.living:
            report = self._known.get(each.image.digest)
            old = report is not None and now - _time(report) > self._policy.scan_max_age
            if each.image.digest and (report is None or old):
                yield each.image.digest, each.image.name

    async def _scan(self, wish: ScanWish) -> None:
        report = self._known.get(wish.digest)
        if wish.digest in self._failed or (
            report is not None and report.source == self._scanner.value
        ):
            return
        if self._clock.now() > self._until:
            self._failed[wish.digest] = "there was no time left to scan it"
            return
        try:
            self._known[wish.digest] = await self._scans.scan(self._scanner, wish)
        except RotatorError as error:
            self._failed[wish.digest] = f"{wish.image} could not be scanned: {error.message}"

    @property
    def _scanner(self) -> Scanner:
        return self._policy.scanner


def _time(report: ScanReport) -> datetime:
    return report.at or datetime.min.replace(tzinfo=UTC)
