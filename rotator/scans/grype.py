"""Grype's own JSON (`grype -o json`), as its models have it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from pydantic import Field, ValidationError

from rotator.domain.posture.scans import ScanReport, Vulnerability
from rotator.scans.summary import (
    ReportModel,
    a_vulnerability,
    clean,
    digests_in,
    instant,
    severity_of,
    summed_up,
)


class _Fix(ReportModel):
    versions: tuple[str, ...] | None = None


class _Vulnerability(ReportModel):
    id: str
    severity: str = ""
    fix: _Fix | None = None


class _Artifact(ReportModel):
    name: str = ""
    version: str = ""


class _Match(ReportModel):
    vulnerability: _Vulnerability
    artifact: _Artifact = _Artifact()


class _Target(ReportModel):
    user_input: str = Field(default="", alias="userInput")
    manifest_digest: str = Field(default="", alias="manifestDigest")
    repo_digests: tuple[str, ...] | None = Field(default=None, alias="repoDigests")
    # The image's own config, in base64.
    config: str | None = None


class _Source(ReportModel):
    # Of a folder it is text; of an image an object.
    target: _Target | str = ""


class _Distribution(ReportModel):
    name: str = ""
    version: str = ""


class _Descriptor(ReportModel):
    timestamp: str | None = None


class _Report(ReportModel):
    matches: tuple[_Match, ...] | None
    source: _Source | None = None
    distribution: _Distribution | None = Field(default=None, alias="distro")
    descriptor: _Descriptor = _Descriptor()


class _Config(ReportModel):
    user: str = Field(default="", alias="User")


class _ImageConfig(ReportModel):
    created: str | None = None
    config: _Config | None = None


def is_grype(document: object) -> bool:
    """By the fields that every report of it has."""
    return isinstance(document, dict) and "matches" in document


def read_grype(document: object) -> ScanReport:
    """Raises `ValidationError` where a field has another shape."""
    report = _Report.model_validate(document)
    target = report.source.target if report.source is not None else ""
    target = target if isinstance(target, _Target) else _Target(userInput=target)
    image, base = _image(target), report.distribution
    config = image.config
    return summed_up(
        tool="Grype",
        image=target.user_input,
        digests=digests_in(
            [target.manifest_digest, target.user_input, *(target.repo_digests or ())]
        ),
        at=instant(report.descriptor.timestamp),
        found=_found(report),
        built_at=instant(image.created),
        base=f"{base.name} {base.version}" if base is not None else "",
        image_user=clean(config.user) if config is not None else None,
    )


def _image(target: _Target) -> _ImageConfig:
    try:
        return _ImageConfig.model_validate_json(base64.b64decode(target.config or ""))
    except (ValidationError, binascii.Error, ValueError):
        return _ImageConfig()


def _found(report: _Report) -> Iterator[Vulnerability]:
    for match in report.matches or ():
        each = match.vulnerability
        versions = each.fix.versions if each.fix is not None else None
        yield a_vulnerability(
            severity_of(each.severity),
            each.id,
            match.artifact.name,
            match.artifact.version,
            ", ".join(versions or ()),
        )
