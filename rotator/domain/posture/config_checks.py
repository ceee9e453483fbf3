"""All rules on files, over all files that are looked at together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from rotator.domain.posture.config_checks_dockerfile import Build, check_dockerfile
from rotator.domain.posture.config_checks_runtime import check_runtime
from rotator.domain.posture.config_checks_secrets import check_secrets
from rotator.domain.posture.config_checks_services import check_services
from rotator.domain.posture.config_file import ConfigFile, Value, walk
from rotator.domain.posture.config_place import Surroundings
from rotator.domain.posture.finding import Finding

_PRIVATE: Final = re.compile(r"(?<![\w-])([a-z0-9-]+)\.(flycast|internal)\b(?::(\d{1,5})\b)?")
_CHECKS: Final = (check_secrets, check_services, check_runtime)


def check_files(
    configs: Sequence[ConfigFile], builds: Sequence[Build], now: datetime
) -> tuple[Finding, ...]:
    """What the rules find, file by file and from top to bottom."""
    around = surroundings(configs, now)
    found: list[Finding] = []
    for file in configs:
        for check in _CHECKS:
            found.extend(check(file, around))
    for build in builds:
        found.extend(check_dockerfile(build, around))
    return tuple(_told_apart(sorted(found, key=_by_place)))


def surroundings(configs: Sequence[ConfigFile], now: datetime) -> Surroundings:
    """What the files say of each other's apps."""
    calls: list[tuple[str, str, str]] = []
    for file in configs:
        for _, node in walk(file.root):
            if isinstance(node, Value) and isinstance(node.value, str):
                calls.extend(_PRIVATE.findall(node.value))
    apps = frozenset(file.app for file in configs if file.app)
    flycast = frozenset(app for app, network, _ in calls if network == "flycast")
    ports = frozenset((app, int(port)) for app, _, port in calls if port)
    return Surroundings(now, apps, flycast, ports)


def _by_place(finding: Finding) -> tuple[str, int, int, str]:
    region = finding.region
    if region is None:
        return finding.subject, 0, 0, finding.rule.id
    return region.path, region.line, region.column, finding.rule.id


def _told_apart(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Two findings of one rule at one subject get numbers, so that each has a fingerprint."""
    seen: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = (finding.rule.id, finding.subject)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            yield replace(finding, subject=f"{finding.subject}~{seen[key]}")
        else:
            yield finding
