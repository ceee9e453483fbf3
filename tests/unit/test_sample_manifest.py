"""What `rotator init` shows in comments can be taken as it stands, and it shows every option."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

import pytest

from rotator.domain.policy import DisruptionBudget, RolloutPolicy, Strategy
from rotator.kinds.registry import TOKEN_KINDS
from rotator.kinds.secret import SecretKind
from rotator.kinds.wireguard_peer import WireGuardPeerKind
from rotator.manifest import parse_manifest
from rotator.manifest.load import Manifest
from rotator.manifest.sample import sample_manifest
from rotator.targets.file import FileTarget
from rotator.targets.fly_secret import FlySecretTarget

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LINES = sample_manifest("acme").splitlines()
OPTION = re.compile(r"^(# )?([a-z_]+) = ")
TABLE = re.compile(r"^(# )?\[([a-z.-]+)\]$")
WITH = {'on_failure = "continue"': "failure_budget"}
"""An option that means nothing without another one."""
CREDENTIAL = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "KEY" } ]
"""


def parsed(lines: list[str], more: str = "") -> Manifest:
    # Neither kinds nor targets call Fly while a manifest is read.
    tokens = [kind(None, None, None) for kind in TOKEN_KINDS]  # type: ignore[arg-type]
    kinds = (*tokens, SecretKind(), WireGuardPeerKind(None))  # type: ignore[arg-type]
    targets = (FlySecretTarget(None), FileTarget())  # type: ignore[arg-type]
    return parse_manifest(
        "\n".join(lines) + more,
        "rotator.toml",
        {kind.name: kind for kind in kinds},
        {target.type: target for target in targets},
        NOW,
    )


def section_of(number: int) -> str:
    found = (TABLE.match(line) for line in reversed(LINES[: number + 1]))
    return next((match[2] for match in found if match), "")


def options(section: str) -> list[int]:
    return [n for n, line in enumerate(LINES) if OPTION.match(line) and section_of(n) == section]


def taken(number: int) -> list[str]:
    """The sample with one commented line taken, in place of the one that says otherwise."""
    wanted = LINES[number].removeprefix("# ")
    key = wanted.split(" = ")[0]
    needed = next((v for k, v in WITH.items() if wanted.startswith(k)), None)
    without = {key} | ({"canary"} if wanted.startswith('strategy = "immediate"') else set())
    without |= {"every"} if key == "cron" else set()
    found = []
    for n, line in enumerate(LINES):
        match = OPTION.match(line)
        table = TABLE.match(line)
        wanted_too = match is not None and match[2] == needed
        header = table is not None and table[2] == section_of(number)
        if n == number or wanted_too or header:
            found.append(line.removeprefix("# "))
        elif not (match and section_of(n) == section_of(number) and match[2] in without):
            found.append(line)
    return found


ROLLOUT = options("defaults.rollout")
COMMENTED = [
    n
    for n in (*ROLLOUT, *options("disruption"), *options("defaults.policy"), *options("defaults"))
    if LINES[n].startswith("# ") and "blackout_ics" not in LINES[n]
]


@pytest.mark.parametrize("number", COMMENTED, ids=lambda n: LINES[n].split("#")[1].strip())
def test_an_option_in_a_comment_can_be_taken(number: int) -> None:
    manifest = parsed(taken(number), CREDENTIAL)
    plain = parsed(LINES, CREDENTIAL)
    assert len(manifest.specs) == 1
    ours, theirs = manifest.specs[0], plain.specs[0]
    key = LINES[number].removeprefix("# ").split(" = ")[0]
    shows_a_default = key in {"start_timeout", "max_wait", "deadline", "coalesce"}
    assert shows_a_default or (ours != theirs)


def test_the_sample_shows_every_option_of_a_rollout() -> None:
    shown = {match[2] for n in ROLLOUT if (match := OPTION.match(LINES[n]))}
    assert shown == {f.name for f in dataclasses.fields(RolloutPolicy)} - {"disruption"}
    limits = {match[2] for n in options("disruption") if (match := OPTION.match(LINES[n]))}
    assert limits == {f.name for f in dataclasses.fields(DisruptionBudget)}
    assert all(any(f'strategy = "{s}"' in line for line in LINES) for s in Strategy)


def test_the_credentials_of_the_sample_can_be_taken_all_at_once() -> None:
    first = next(n for n, line in enumerate(LINES) if line.startswith("# [credentials."))
    inside = re.compile(r"# (\[|[a-z_]+ = |  \{|\])")
    lines = [
        line.removeprefix("# ") if n >= first and inside.match(line) else line
        for n, line in enumerate(LINES)
    ]
    kinds = {spec.kind for spec in parsed(lines).specs}
    assert kinds >= {"secret", "deploy-token", "wireguard-peer", "org-token"}
