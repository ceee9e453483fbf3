"""A report in any of the four formats, as one type."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from rotator.domain.errors import InputError
from rotator.domain.posture.scans import ReportFolder, ScanReport, Unreadable
from rotator.scans.cyclonedx import is_cyclonedx, read_cyclonedx
from rotator.scans.grype import is_grype, read_grype
from rotator.scans.sarif import is_sarif, read_sarif
from rotator.scans.summary import MAX_BYTES, NotAReport, clean, digests_in
from rotator.scans.trivy import is_trivy, read_trivy

MAX_FILES: Final = 2000
MAX_TOTAL_BYTES: Final = 512 * 1024 * 1024
MAX_ENTRIES: Final = 20_000
"""How much of a folder is looked at for them."""
_SUFFIXES: Final = frozenset({".json", ".sarif", ".cdx"})
_FORMATS: Final = (
    (is_cyclonedx, read_cyclonedx),
    (is_sarif, read_sarif),
    (is_trivy, read_trivy),
    (is_grype, read_grype),
)


def read_report(text: bytes) -> ScanReport:
    """One report.

    Raises:
        NotAReport: it is no JSON, none of the four formats, or a field has another shape.
    """
    if len(text) > MAX_BYTES:
        raise NotAReport(f"larger than {_mib(MAX_BYTES)}")
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotAReport(f"no JSON at line {error.lineno}, column {error.colno}") from None
    if isinstance(document, list):
        # As Trivy wrote it before schema 2: the results alone.
        document = {"Results": document}
    for fits, read in _FORMATS:
        if fits(document):
            try:
                return read(document)
            except ValidationError as error:
                raise NotAReport(_where(error)) from None
    raise NotAReport("none of SARIF, CycloneDX, and the JSON of Trivy and Grype")


def _mib(count: int) -> str:
    return f"{count // 1024 // 1024} MiB"


def _where(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{clean(place)}: {clean(first['msg']).lower()}"


def read_folder(path: str) -> ReportFolder:
    """The reports of a folder and the folders in it, or the one file. Blocks.

    A report that does not name its image by digest may have the digest in its file's name
    (`sha256-….json`). One that does not say when it was made was made when its file was.

    Raises:
        InputError: there is no such place, or it can't be looked into.
    """
    place = Path(path)
    try:
        files = [place] if place.is_file() else _files(place)
    except OSError as error:
        raise InputError(
            f"{path} can't be read: {(error.strerror or 'it is none').lower()}",
            where="[posture] scan_reports",
            next_step="name the folder that the reports of your pipeline lie in",
        ) from None
    reports: list[ScanReport] = []
    unreadable: list[Unreadable] = []
    left = MAX_TOTAL_BYTES
    for file in files[:MAX_FILES]:
        name = clean(file.name if file == place else str(file.relative_to(place)))
        try:
            left -= min(file.stat().st_size, MAX_BYTES)
            if left < 0:
                raise NotAReport(f"not read: the reports before it have {_mib(MAX_TOTAL_BYTES)}")
            reports.append(replace(_read_file(file), source=name))
        except NotAReport as error:
            unreadable.append(Unreadable(name, str(error)))
        except OSError as error:
            unreadable.append(Unreadable(name, (error.strerror or "can't be read").lower()))
    if len(files) > MAX_FILES:
        unreadable.append(
            Unreadable("*", f"more than {MAX_FILES} reports: the others are not read")
        )
    return ReportFolder(tuple(reports), tuple(unreadable))


def _files(folder: Path) -> list[Path]:
    """Newest last by name, so that the same folder is always read in the same order."""
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder")
    found = []
    for count, entry in enumerate(folder.rglob("*")):
        if count >= MAX_ENTRIES:
            break
        if entry.suffix.lower() in _SUFFIXES and entry.is_file():
            found.append(entry)
    return sorted(found)


def _read_file(file: Path) -> ScanReport:
    with file.open("rb") as opened:
        text = opened.read(MAX_BYTES + 1)
        written_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    report = read_report(text)
    digests = report.digests or digests_in([file.name])
    if not digests:
        raise NotAReport("does not say which image it is about: put the digest in its name")
    return replace(report, digests=digests, at=report.at or written_at)
