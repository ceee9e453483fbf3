"""CycloneDX JSON with vulnerabilities (specification 1.4 to 1.6), as Trivy, Grype and others write
it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from pydantic import Field

from rotator.domain.posture.scans import ScanReport, Severity, Vulnerability
from rotator.scans.summary import (
    NotAReport,
    ReportModel,
    a_vulnerability,
    digests_in,
    instant,
    severity_of,
    severity_of_score,
    summed_up,
)

_HARMLESS: Final = frozenset(
    {"not_affected", "false_positive", "resolved", "resolved_with_pedigree"}
)


class _Property(ReportModel):
    name: str = ""
    value: str | None = None


class _Component(ReportModel):
    reference: str | None = Field(default=None, alias="bom-ref")
    type: str = ""
    name: str = ""
    version: str | None = None
    purl: str | None = None
    properties: tuple[_Property, ...] | None = None


class _Metadata(ReportModel):
    timestamp: str | None = None
    component: _Component = _Component()


class _Rating(ReportModel):
    severity: str = ""
    score: float | None = None


class _Affected(ReportModel):
    ref: str = ""


class _Analysis(ReportModel):
    state: str = ""


class _Vulnerability(ReportModel):
    id: str
    ratings: tuple[_Rating, ...] | None = None
    affects: tuple[_Affected, ...] | None = None
    analysis: _Analysis | None = None


class _Report(ReportModel):
    metadata: _Metadata = _Metadata()
    components: tuple[_Component, ...] | None = None
    vulnerabilities: tuple[_Vulnerability, ...] | None = None


def is_cyclonedx(document: object) -> bool:
    """By the field that the specification asks for."""
    return isinstance(document, dict) and document.get("bomFormat") == "CycloneDX"


def read_cyclonedx(document: object) -> ScanReport:
    """Raises `ValidationError` where a field has another shape, `NotAReport` of a bill of materials
    that nobody has looked for vulnerabilities in."""
    report = _Report.model_validate(document)
    if report.vulnerabilities is None:
        raise NotAReport(
            "a bill of materials without vulnerabilities; trivy adds them with --scanners vuln"
        )
    subject = report.metadata.component
    stated = (each.value for each in subject.properties or () if each.name.endswith("RepoDigest"))
    base = next((c for c in report.components or () if c.type == "operating-system"), None)
    return summed_up(
        tool="CycloneDX",
        image=subject.name,
        digests=digests_in(
            [subject.reference, subject.purl, subject.version, subject.name, *stated]
        ),
        at=instant(report.metadata.timestamp),
        found=_found(report),
        base=f"{base.name} {base.version or ''}" if base is not None else "",
    )


def _found(report: _Report) -> Iterator[Vulnerability]:
    known = {each.reference: each for each in report.components or () if each.reference}
    for each in report.vulnerabilities or ():
        if each.analysis is not None and each.analysis.state in _HARMLESS:
            continue
        severity = max((_severity(rating) for rating in each.ratings or ()), default=Severity(0))
        for affected in each.affects or (_Affected(),):
            package, version = _package(affected.ref, known)
            yield a_vulnerability(severity, each.id, package, version)


def _severity(rating: _Rating) -> Severity:
    by_word = severity_of(rating.severity)
    if by_word is Severity.UNKNOWN and rating.score is not None:
        return severity_of_score(rating.score)
    return by_word


def _package(reference: str, known: Mapping[str, _Component]) -> tuple[str, str]:
    """Name and version of a component, by its own entry or by its package URL."""
    if reference in known:
        return known[reference].name, known[reference].version or ""
    path = reference.partition("?")[0]
    if not path.startswith("pkg:"):
        return "", ""
    name, _, version = path.rpartition("/")[2].partition("@")
    return unquote(name), unquote(version)
