"""`rotator posture`: what is looked at, how it is told, and what the exit code says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from rotator import __version__
from rotator.cli.failures import FAILED, PARTLY
from rotator.cli.posturing.baseline import read_baseline, write_baseline
from rotator.cli.posturing.data import as_data
from rotator.cli.posturing.junit import as_junit
from rotator.cli.posturing.sarif import as_sarif
from rotator.cli.posturing.table import show_table
from rotator.cli.posturing.words import asides, counted, missing_line
from rotator.cli.text import print_json, say
from rotator.domain.errors import InputError
from rotator.domain.names import wrong_app, wrong_organization
from rotator.domain.posture.catalogue import FILE_RULES, RULES
from rotator.domain.posture.finding import Finding, Inspected, Rule
from rotator.domain.posture.judgement import Judgement, Looked, entries_of, judge
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.suppression import Suppression
from rotator.domain.risk import Risk
from rotator.manifest.suppressions import SUPPRESSIONS_FILE, load_suppressions, suppressions_beside
from rotator.system import SystemClock

InspectPaths: TypeAlias = Callable[[Sequence[Path], datetime], Inspected]
FILES: Final = ("fly.toml", "fly.*.toml", "fly.json", "fly.yaml", "fly.yml")
"""What makes a folder one of an app; flyctl reads these."""
BESIDE: Final = ("Dockerfile", "Dockerfile.*", "*.Dockerfile")
NEVER: Final = "never"


@dataclass(frozen=True)
class Wanted:
    """What was asked for at the command line."""

    paths: tuple[Path, ...] = ()
    organization: str | None = None
    app: str | None = None
    form: str = "table"
    fail_on: str = Risk.HIGH.word
    baseline: Path | None = None
    write: bool = False
    suppressions: Path | None = None

    @property
    def scope(self) -> str:
        """What is looked at, in a word."""
        files = "files" if self.paths else None
        return "+".join(part for part in (files, self.organization, self.app) if part)

    @property
    def online(self) -> bool:
        """Whether Fly is asked."""
        return self.organization is not None or self.app is not None


@dataclass(frozen=True)
class Found:
    """What a look gave: findings, rules that had their say, and suppressions that hold there."""

    inspected: Inspected = field(default_factory=Inspected)
    asked: tuple[Rule, ...] = ()
    suppressions: tuple[Suppression, ...] = ()


async def show_posture(wanted: Wanted, inspect_paths: InspectPaths | None = None) -> int:
    """Look, judge, tell. Gives the exit code."""
    limit = risk_of(wanted.fail_on)
    _check(wanted)
    wanted = wanted if wanted.paths or wanted.online else replace(wanted, paths=_files_here())
    suppressions = _suppressions(wanted)
    known = None if wanted.baseline is None or wanted.write else read_baseline(wanted.baseline)
    now = SystemClock().now()
    found = await _look(wanted, now, inspect_paths)
    unread = frozenset(missing.topic for missing in found.inspected.missing)
    judgement = judge(
        found.inspected,
        Looked(found.asked, frozenset(RULES), unread, wanted.app),
        suppressions=found.suppressions if suppressions is None else suppressions,
        baseline=known,
        today=now.astimezone(UTC).date(),
    )
    if wanted.write and wanted.baseline is not None:
        return _written(judgement, wanted.baseline)
    failed = judgement.fails(limit)
    _tell(judgement, wanted, limit, now, failed=failed)
    for line in asides(judgement):
        _aside(line)
    return FAILED if failed else PARTLY if judgement.missing else 0


def risk_of(word: str) -> Risk | None:
    """The severity that a word names; None for `never`.

    Raises:
        InputError: it names none.
    """
    known = {risk.word: risk for risk in Risk}
    if word not in known and word != NEVER:
        names = ", ".join((*known, NEVER))
        raise InputError(f"{word[:20]!r} is none of {names}", where="--fail-on")
    return known.get(word)


def _check(wanted: Wanted) -> None:
    """See that the options make sense together, before anything is read."""
    if wanted.write and wanted.baseline is None:
        raise InputError(
            "where shall the baseline be written?",
            where="--write-baseline",
            next_step="add --baseline FILE",
        )
    names = (("--org", wanted.organization, wrong_organization), ("--app", wanted.app, wrong_app))
    for option, name, wrong in names:
        problem = wrong(name) if name is not None else None
        if problem is not None:
            raise InputError(problem, where=option)
    for path in wanted.paths:
        if not path.exists():
            raise InputError("there is no such file or folder", where=str(path))


def _files_here() -> tuple[Path, ...]:
    """The files of the app whose folder this is.

    Raises:
        InputError: it is none.
    """
    here = Path()
    found = sorted({path for pattern in FILES for path in here.glob(pattern) if path.is_file()})
    if not found:
        raise InputError(
            "there is nothing to look at: no fly.toml is here",
            next_step="name files or folders, or --org O or --app A to look at what runs",
        )
    more = sorted({path for pattern in BESIDE for path in here.glob(pattern) if path.is_file()})
    return (*found, *more)


def _suppressions(wanted: Wanted) -> tuple[Suppression, ...] | None:
    """Those of the file that was named, or that stands here; None where there is no such file."""
    if wanted.suppressions is not None:
        return load_suppressions(wanted.suppressions, RULES)
    here = Path(SUPPRESSIONS_FILE)
    return load_suppressions(here, RULES) if here.exists() else None


async def _look(wanted: Wanted, now: datetime, inspect_paths: InspectPaths | None) -> Found:
    """Look at files, at what runs, or at both."""
    offline, online = Found(), Found()
    if wanted.paths:
        offline = _look_offline(wanted.paths, now, inspect_paths)
    if wanted.online:
        online = await _look_online(wanted, now)
    inspected = Inspected(
        _once((*offline.inspected.findings, *online.inspected.findings)),
        (*offline.inspected.missing, *online.inspected.missing),
    )
    return Found(inspected, (*offline.asked, *online.asked), online.suppressions)


def _look_offline(paths: Sequence[Path], now: datetime, given: InspectPaths | None) -> Found:
    from rotator.config_files import inspect_paths

    asked = tuple(rule for rule in RULES.values() if rule.id in FILE_RULES)
    return Found((given or inspect_paths)(paths, now), asked)


def _once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each finding once, also where a file was named twice."""
    return tuple({(each.fingerprint, each.region): each for each in findings}.values())


async def _look_online(wanted: Wanted, now: datetime) -> Found:
    from rotator.cli.session import opened
    from rotator.domain.posture.ports import InspectionScope
    from rotator.engine.posture.look import inspect_all, topics_of

    async with opened(online=True) as rotator:
        path = rotator.settings.manifest
        manifest = rotator.manifest() if path.exists() else None
        organization = wanted.organization or (manifest.organization if manifest else None)
        if organization is None:
            raise InputError(
                f"of which organisation is {wanted.app}? No manifest says so",
                where="--app",
                next_step="add --org SLUG",
            )
        inspectors = rotator.inspectors()
        inspected = await inspect_all(
            inspectors,
            InspectionScope((organization,), wanted.app),
            manifest.posture if manifest else PosturePolicy(),
            now,
        )
        topics = topics_of(inspectors)
        asked = tuple(
            rule for rule in RULES.values() if rule.id not in FILE_RULES and rule.topic in topics
        )
        return Found(inspected, asked, suppressions_beside(path, RULES))


def _tell(
    judgement: Judgement, wanted: Wanted, limit: Risk | None, now: datetime, *, failed: bool
) -> None:
    match wanted.form:
        case "json":
            print_json(as_data(judgement, now, __version__, failed=failed))
        case "sarif":
            document = as_sarif(judgement, __version__, wanted.scope)
            say(json.dumps(document, indent=1, ensure_ascii=True))
        case "junit":
            # It says that it is UTF-8, whatever this terminal's encoding is.
            sys.stdout.buffer.write(as_junit(judgement, limit).encode())
            sys.stdout.buffer.flush()
        case _:
            show_table(judgement)


def _written(judgement: Judgement, path: Path) -> int:
    """Write the baseline; what was only partly read would forget findings, so it is not."""
    if judgement.missing:
        for missing in judgement.missing:
            _aside(missing_line(missing))
        _aside(f"{path} is left as it was, since not everything could be read")
        return PARTLY
    entries = entries_of(judgement)
    write_baseline(path, entries)
    say(f"{path} has {counted(len(entries), 'finding')}; only others count from now on")
    return 0


def _aside(line: str) -> None:
    print(f"rotator: {line}", file=sys.stderr)  # noqa: T201
