"""Images that machines run: which, how old, and what scanners say of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rotator.domain.durations import rough_duration
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.running import (
    SETTLING,
    ImageRef,
    RunningApp,
    RunningMachine,
    named,
)
from rotator.domain.posture.scans import ScanReport, Severity, Unreadable
from rotator.domain.risk import Risk

_DEPLOY: Final = "https://fly.io/docs/launch/deploy/"
_CONFIG: Final = "https://fly.io/docs/reference/configuration/"

BY_TAG: Final = Rule(
    "image-by-tag",
    Topic.IMAGES,
    Risk.LOW,
    "A machine's image is named by a tag that can move",
    "Whoever may push the tag decides what the next machine runs; two machines made on different "
    "days may run different programs, and nobody can tell which was reviewed.",
    "Name the image by its digest.",
    _CONFIG,
)
DIFFER: Final = Rule(
    "image-digests-differ",
    Topic.IMAGES,
    Risk.MEDIUM,
    "Machines of one process group run different images",
    "A deploy was cut off, or a tag moved: some machines run what was to be replaced, with its "
    "holes.",
    "Deploy again.",
    _DEPLOY,
)
OLD: Final = Rule(
    "image-old",
    Topic.IMAGES,
    Risk.LOW,
    "An image has not been built for long",
    "Its base image is at least as old: what was mended since is not in it.",
    "Build it anew on the newest base image, by schedule even where nothing has changed.",
    _DEPLOY,
)
BASE_ENDED: Final = Rule(
    "base-image-ended",
    Topic.IMAGES,
    Risk.HIGH,
    "An image stands on a distribution that nobody mends any more",
    "New holes in it stay open for ever, and scanners stop telling of them.",
    "Move to a version that is still mended.",
    _DEPLOY,
)
SCAN_MISSING: Final = Rule(
    "scan-missing",
    Topic.IMAGES,
    Risk.LOW,
    "No scan report for the image that runs",
    "Nobody knows of which known holes it is made.",
    "Let the pipeline scan each image and keep the report, or let rotator run the scanner.",
    "https://fly.io/docs/security/shared-responsibility/",
)
SCAN_OLD: Final = Rule(
    "scan-old",
    Topic.IMAGES,
    Risk.LOW,
    "The scan report of the image that runs is old",
    "Holes that were found since then are not in it, although the image has them.",
    "Scan it again, by schedule.",
    "https://fly.io/docs/security/shared-responsibility/",
)
VULNERABLE: Final = Rule(
    "image-vulnerable",
    Topic.IMAGES,
    Risk.HIGH,
    "The image that runs has serious known holes",
    "Attacks on them are written down, and tried on everything that answers.",
    "Build it anew on the newest base image and the newest packages.",
    _DEPLOY,
)
UNREADABLE: Final = Rule(
    "scan-report-unreadable",
    Topic.IMAGES,
    Risk.LOW,
    "A file among the scan reports can't be read as one",
    "What it was to tell is not told.",
    "Write it as SARIF, CycloneDX, or the JSON of Trivy or Grype; keep other files elsewhere.",
    "https://fly.io/docs/security/shared-responsibility/",
)
RULES: Final = (
    VULNERABLE,
    BASE_ENDED,
    DIFFER,
    BY_TAG,
    OLD,
    SCAN_OLD,
    SCAN_MISSING,
    UNREADABLE,
)

_PINNED: Final = re.compile(r"@sha256:[0-9a-f]{64}$")
_DEPLOYMENT: Final = re.compile(r"registry\.fly\.io/.+:deployment-[0-9A-HJKMNP-TV-Z]{26}")
"""What flyctl names each build, once: nothing moves such a tag but by intent."""


@dataclass(frozen=True)
class ScanRecord:
    """What is known of images by their digests. `wanted`: whether anybody looks for reports."""

    by_digest: Mapping[str, ScanReport] = field(default_factory=dict)
    wanted: bool = False


@dataclass(frozen=True)
class _Look:
    """One process group, and what it is held against."""

    app: RunningApp
    group: str
    machines: Sequence[RunningMachine]
    scans: ScanRecord
    policy: PosturePolicy
    now: datetime

    @property
    def whose(self) -> str:
        """The group, for people."""
        return f"group {self.group} of {self.app.name}"

    def found(self, rule: Rule, message: str, mend: str, risk: Risk | None = None) -> Finding:
        """A finding about the group."""
        subject = f"group:{self.app.name}/{self.group}"
        return self.app.finding(rule, subject, message, mend, risk)

    def images(self) -> Mapping[str, ImageRef]:
        """What its machines run, by digest."""
        return {each.image.digest: each.image for each in self.machines if each.image.digest}

    def reports(self) -> Sequence[ScanReport]:
        """What scanners say of that."""
        known = self.scans.by_digest
        return [known[digest] for digest in self.images() if digest in known]

    def scan_again(self, image: ImageRef) -> str:
        """The command that makes a report."""
        folder = self.policy.scan_reports or "reports"
        return (
            f"fly auth docker && trivy image --format json --output {folder}/{self.app.name}.json "
            f"{image.name}@{image.digest}"
        )


def check_images(
    app: RunningApp, scans: ScanRecord, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """Everything about the images of one app, each group once."""
    for group, every in app.groups().items():
        machines = [each for each in every if each.complete]
        look = _Look(app, group, machines, scans, policy, now)
        if machines:
            for check in (_by_tag, _differ, _old, _scan_missing, _scan_old, _base_ended, _holes):
                yield from check(look)


def _by_tag(look: _Look) -> Iterator[Finding]:
    moving = [each.image for each in look.machines if _moves(each.image)]
    if not moving:
        return
    image = moving[0]
    floating = image.tag in ("", "latest")
    pinned = f"{image.given}@{image.digest or 'sha256:DIGEST'}"
    yield look.found(
        BY_TAG,
        f"{look.whose} runs {image.given}, "
        + ("whatever that is today" if floating else "which can be pushed again"),
        f'in fly.toml: [build] image = "{pinned}"; then fly deploy --app {look.app.name}',
        Risk.MEDIUM if floating else None,
    )


def _moves(image: ImageRef) -> bool:
    given = image.given
    return bool(given) and not _PINNED.search(given) and not _DEPLOYMENT.fullmatch(given)


def _differ(look: _Look) -> Iterator[Finding]:
    """Of machines that Fly Launch deploys, and not in the middle of a deploy."""
    mine = [each for each in look.machines if each.managed and each.image.digest]
    digests = {each.image.digest: each.machine.id for each in mine}
    settled = all(each.made_at is None or look.now - each.made_at > SETTLING for each in mine)
    if len(digests) > 1 and settled:
        shown = [f"{_short(digest)} on {machine}" for digest, machine in sorted(digests.items())]
        yield look.found(
            DIFFER,
            f"{look.whose} runs {len(digests)} different images: {named(shown)}",
            f"fly deploy --app {look.app.name}",
        )


def _old(look: _Look) -> Iterator[Finding]:
    built: dict[datetime, ImageRef] = {}
    for each in look.machines:
        report = look.scans.by_digest.get(each.image.digest)
        at = each.image.built_at or (report.built_at if report is not None else None)
        if at is not None:
            built[at] = each.image
    allowed = look.policy.image_max_age
    if not built or look.now - min(built) <= allowed:
        return
    at = min(built)
    yield look.found(
        OLD,
        f"{built[at].given or built[at].name} of {look.whose} was built "
        f"{rough_duration(look.now - at)} ago; the posture allows {rough_duration(allowed)}",
        f"the newest base image in the Dockerfile; then fly deploy --app {look.app.name} "
        "--no-cache",
    )


def _scan_missing(look: _Look) -> Iterator[Finding]:
    images = look.images()
    missing = sorted(images.keys() - look.scans.by_digest.keys())
    if look.scans.wanted and missing:
        image = images[missing[0]]
        yield look.found(
            SCAN_MISSING,
            f"no report for {image.name}@{_short(image.digest)}, which {look.whose} runs",
            look.scan_again(image),
        )


def _scan_old(look: _Look) -> Iterator[Finding]:
    allowed = look.policy.scan_max_age
    aged = [
        (report.at, report.source, image)
        for digest, image in sorted(look.images().items())
        if (report := look.scans.by_digest.get(digest)) and report.at
        if look.now - report.at > allowed
    ]
    if aged:
        at, source, image = min(aged, key=lambda each: each[:2])
        yield look.found(
            SCAN_OLD,
            f"the report {source} for {look.whose} is {rough_duration(look.now - at)} old; the "
            f"posture allows {rough_duration(allowed)}",
            look.scan_again(image),
        )


def _base_ended(look: _Look) -> Iterator[Finding]:
    ended = next((each for each in look.reports() if each.base_ended), None)
    if ended is not None:
        yield look.found(
            BASE_ENDED,
            f"{look.whose} runs on {ended.base or 'a distribution'}, which is no longer mended "
            f"({ended.source})",
            f"a newer FROM in the Dockerfile; then fly deploy --app {look.app.name}",
        )


def _holes(look: _Look) -> Iterator[Finding]:
    reports = look.reports()
    if not reports:
        return
    worst = max(
        reports,
        key=lambda each: (each.count(Severity.CRITICAL), each.count(Severity.HIGH), each.source),
    )
    critical, high = worst.count(Severity.CRITICAL), worst.count(Severity.HIGH)
    if critical or high:
        serious = [str(each) for each in worst.worst if each.severity >= Severity.HIGH]
        yield look.found(
            VULNERABLE,
            f"{look.whose} has {critical} critical and {high} high vulnerabilities, "
            f"{worst.fixable} of them with a fix, by {worst.source}: {'; '.join(serious[:3])}",
            f"newer packages and base image in the Dockerfile; then fly deploy --app "
            f"{look.app.name} --no-cache",
            None if critical else Risk.MEDIUM,
        )


def no_scans(organization: str) -> Finding:
    """Nobody looks for reports at all: said once, not of each app."""
    return Finding(
        SCAN_MISSING,
        f"organization:{organization}",
        "rotator knows of no scan reports, so that it can't tell of holes in images",
        'in rotator.toml: [posture] scan_reports = "reports/"',
        organization,
        risk=Risk.NOTE,
    )


def unreadable(organization: str, file: Unreadable) -> Finding:
    """A file among the reports that can't be read as one."""
    return Finding(
        UNREADABLE,
        f"report:{file.source}",
        f"{file.source} is no report: {file.why}",
        f"write {file.source} anew, or take it out of the folder of the reports",
        organization,
    )


def _short(digest: str) -> str:
    return digest[:19]
