"""Trivy's own JSON (`trivy image --format json`), as its reporting page and its types have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import Field

from rotator.domain.posture.scans import ScanReport, Vulnerability
from rotator.scans.summary import (
    ReportModel,
    a_vulnerability,
    digests_in,
    instant,
    severity_of,
    summed_up,
)

_HARMLESS: Final = frozenset({"not_affected", "fixed"})


class _Vulnerability(ReportModel):
    id: str = Field(alias="VulnerabilityID")
    package: str = Field(default="", alias="PkgName")
    installed: str = Field(default="", alias="InstalledVersion")
    fixed: str = Field(default="", alias="FixedVersion")
    status: str = Field(default="", alias="Status")
    severity: str = Field(default="", alias="Severity")


class _Result(ReportModel):
    found: tuple[_Vulnerability, ...] | None = Field(default=None, alias="Vulnerabilities")


class _Os(ReportModel):
    family: str = Field(default="", alias="Family")
    name: str = Field(default="", alias="Name")
    # Left out where it is false.
    ended: bool = Field(default=False, alias="EOSL")


class _Config(ReportModel):
    user: str = Field(default="", alias="User")


class _ImageConfig(ReportModel):
    created: str | None = None
    config: _Config | None = None


class _Metadata(ReportModel):
    os: _Os | None = Field(default=None, alias="OS")
    digests: tuple[str, ...] | None = Field(default=None, alias="RepoDigests")
    image: _ImageConfig | None = Field(default=None, alias="ImageConfig")


class _Report(ReportModel):
    name: str = Field(default="", alias="ArtifactName")
    created: str | None = Field(default=None, alias="CreatedAt")
    metadata: _Metadata = Field(default=_Metadata(), alias="Metadata")
    results: tuple[_Result, ...] | None = Field(default=None, alias="Results")


def is_trivy(document: object) -> bool:
    """By the fields that every report of it has."""
    return isinstance(document, dict) and (
        "Results" in document or ("SchemaVersion" in document and "ArtifactName" in document)
    )


def read_trivy(document: object) -> ScanReport:
    """Raises `ValidationError` where a field has another shape."""
    report = _Report.model_validate(document)
    metadata, os = report.metadata, report.metadata.os
    config = metadata.image.config if metadata.image is not None else None
    return summed_up(
        tool="Trivy",
        image=report.name,
        digests=digests_in([*(metadata.digests or ()), report.name]),
        at=instant(report.created),
        found=_found(report),
        built_at=instant(metadata.image.created) if metadata.image is not None else None,
        base=f"{os.family} {os.name}" if os is not None else "",
        base_ended=os.ended if os is not None else None,
        image_user=config.user if config is not None else None,
    )


def _found(report: _Report) -> Iterator[Vulnerability]:
    for result in report.results or ():
        for each in result.found or ():
            if each.status not in _HARMLESS:
                yield a_vulnerability(
                    severity_of(each.severity), each.id, each.package, each.installed, each.fixed
                )
