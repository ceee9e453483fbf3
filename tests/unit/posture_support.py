"""Rules and findings of no particular topic, for what is done with any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rotator.domain.posture.finding import Finding, Inspected, Missing, Region, Rule, Topic
from rotator.domain.posture.judgement import BaselineEntry, Judgement, Looked, judge
from rotator.domain.posture.suppression import Suppression
from rotator.domain.risk import Risk

TODAY = date(2026, 6, 1)
PAGE = "https://fly.io/docs/apps/secrets/"


def a_rule(name: str = "secret-in-env", **changes: Any) -> Rule:
    """A rule on files, of high risk."""
    plain = Rule(
        name,
        Topic.CONFIG,
        Risk.HIGH,
        f"Title of {name}",
        "Whoever reads the file has the secret.",
        "Set it with `fly secrets set`.",
        PAGE,
    )
    return replace(plain, **changes)


SECRET = a_rule()
HTTPS = a_rule("force-https-missing", risk=Risk.MEDIUM)
TOKEN = a_rule("token-never-expires", topic=Topic.TOKENS, risk=Risk.CRITICAL)
CATALOGUE = {rule.id: rule for rule in (SECRET, HTTPS, TOKEN)}


def in_file(
    key: str = "API_KEY", *, rule: Rule = SECRET, line: int = 12, **changes: Any
) -> Finding:
    """A finding in a file."""
    plain = Finding(
        rule,
        f"fly.toml#env.{key}",
        f"env.{key} has the form of an API key",
        f"fly secrets set {key}=… --app web",
        region=Region("fly.toml", line, 3, line, 20),
    )
    return replace(plain, **changes)


def at_fly(name: str = "ci", *, rule: Rule = TOKEN, app: str = "web", **changes: Any) -> Finding:
    """A finding about something that runs."""
    plain = Finding(
        rule,
        f"token:{app}/{name}",
        f"{name} works for ever",
        f"fly tokens revoke {name}",
        organization="acme",
        app=app,
    )
    return replace(plain, **changes)


def a_suppression(**changes: Any) -> Suppression:
    """One in force."""
    plain = Suppression(
        SECRET.id, "fly.toml#*", "a public key", date(2026, 12, 31), "rotator-posture.toml:3"
    )
    return replace(plain, **changes)


def an_entry(finding: Finding) -> BaselineEntry:
    """A finding as a baseline has it."""
    return BaselineEntry(
        finding.fingerprint, finding.rule.id, finding.subject, finding.organization, finding.app
    )


def judged(
    *findings: Finding,
    missing: Sequence[Missing] = (),
    suppressions: Sequence[Suppression] = (),
    baseline: Sequence[BaselineEntry] | None = None,
    topics: frozenset[Topic] = frozenset(Topic),
    app: str | None = None,
) -> Judgement:
    """Findings, held against what a person has said."""
    asked = tuple(rule for rule in CATALOGUE.values() if rule.topic in topics)
    unread = frozenset(each.topic for each in missing)
    looked = Looked(asked, frozenset(CATALOGUE), unread, app)
    return judge(
        Inspected(findings, tuple(missing)),
        looked,
        suppressions=suppressions,
        baseline=baseline,
        today=TODAY,
    )


def finder(*findings: Finding, missing: Sequence[Missing] = ()) -> Any:
    """What reads files, with an answer that is known beforehand."""

    def inspect_paths(_paths: Sequence[Path], _now: datetime) -> Inspected:
        return Inspected(findings, tuple(missing))

    return inspect_paths
