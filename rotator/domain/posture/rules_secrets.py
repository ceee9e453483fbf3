"""App secrets: how old they are, whether machines have them, and who else has the same. Pure.

What a machine runs with is not told by any API. It certainly lacks what was set after the version
that it runs was made, unless it has started since: Fly does not promise that a start takes up new
secrets, nor that it does not. So nothing is said of a machine that may have them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from rotator.domain.durations import rough_duration
from rotator.domain.machines import CLOCK_SKEW
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.running import (
    SETTLING,
    OwnRecord,
    RunningApp,
    RunningMachine,
    StandingSecret,
    named,
)
from rotator.domain.risk import Risk

_PAGE: Final = "https://fly.io/docs/apps/secrets/"

OLD: Final = Rule(
    "secret-old",
    Topic.SECRETS,
    Risk.MEDIUM,
    "An app secret has not been replaced for long",
    "Each day adds people who have seen it, logs and backups that hold it, and laptops that were "
    "lost with it.",
    "Replace it, and let rotator do so from now on.",
    _PAGE,
)
STAGED: Final = Rule(
    "secret-staged",
    Topic.SECRETS,
    Risk.MEDIUM,
    "A secret was set and no running machine has taken it",
    "Machines run with the value from before. Where that one was to be replaced it is still in "
    "use, and the next machine that starts by chance is the first to try the new one.",
    "Deploy what is staged.",
    _PAGE,
)
DIFFER: Final = Rule(
    "machines-differ-in-secrets",
    Topic.SECRETS,
    Risk.MEDIUM,
    "Machines of one app run with different versions of its secrets",
    "Requests succeed or fail by the machine that they meet, sessions signed by one are refused by "
    "another, and the value from before can't be revoked.",
    "Bring all machines to the newest secrets.",
    _PAGE,
)
SHARED: Final = Rule(
    "secret-shared",
    Topic.SECRETS,
    Risk.LOW,
    "Several apps hold the same value",
    "Whoever gets into one of them has what the others are protected with, and it has to be "
    "replaced everywhere at once. Equal digests are equal values; others may be equal as well.",
    "Give each app a value of its own, or declare it once with all its targets, so that rotator "
    "replaces it everywhere.",
    _PAGE,
)
RULES: Final = (STAGED, DIFFER, OLD, SHARED)


class _Holds(Enum):
    """Whether a machine runs with what was set."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()


def check_secrets(
    app: RunningApp, own: OwnRecord, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """Everything about the secrets of one app, but for what it shares with others."""
    for secret in app.secrets:
        yield from _old(app, secret, own, policy, now)
    if not own.under_way:
        yield from _undeployed(app, now)


def _old(
    app: RunningApp, secret: StandingSecret, own: OwnRecord, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    tracked = own.tracked.get(secret.name)
    allowed = (tracked and tracked.max_age) or policy.secret_max_age
    if secret.changed_at is None or now - secret.changed_at <= allowed:
        return
    age, bound = rough_duration(now - secret.changed_at), rough_duration(allowed)
    if tracked is not None:
        whose = f"its policy allows {bound}" if tracked.max_age else f"the posture allows {bound}"
        mend = f"rotator rotate now {tracked.credential} --reason 'older than {bound}'"
        if tracked.observed:
            mend = f"mode = 'rotate' for {tracked.credential} in rotator.toml, then {mend}"
    else:
        whose = f"the posture allows {bound}, and nobody replaces it by schedule"
        mend = (
            f"fly secrets set {secret.name}=NEW_VALUE --app {app.name}, or track it: "
            f"rotator discover --write"
        )
    yield app.finding(
        OLD,
        f"secret:{app.name}/{secret.name}",
        f"{secret.name} of {app.name} was set {age} ago; {whose}",
        mend,
    )


def _undeployed(app: RunningApp, now: datetime) -> Iterator[Finding]:
    """Secrets that running machines lack: all of them, or some while others have it."""
    running = [each for each in app.living if each.machine.remembers]
    behind: dict[str, RunningMachine] = {}
    torn: list[str] = []
    for secret in app.secrets:
        changed_at = secret.changed_at
        readers = [each for each in running if each.machine.reads_secret(secret.name)]
        if changed_at is None or now - changed_at < SETTLING or not readers:
            continue
        held = {each.machine.id: _holds(each, changed_at) for each in readers}
        lacking = [each for each in readers if held[each.machine.id] is _Holds.NO]
        if not lacking:
            continue
        if _Holds.YES in held.values():
            torn.append(secret.name)
            behind.update((each.machine.id, each) for each in lacking)
        else:
            yield _staged(app, secret, len(lacking), len(readers), now - changed_at)
    if torn:
        yield _torn(app, torn, sorted(behind), len(running))


def _holds(machine: RunningMachine, changed_at: datetime) -> _Holds:
    since = changed_at - CLOCK_SKEW
    if machine.made_at is None:
        return _Holds.UNKNOWN
    if machine.made_at >= since:
        return _Holds.YES
    if machine.machine.updated_at < since:
        return _Holds.NO
    starts = [event.at for event in machine.machine.events if event.type in _STARTS]
    # Events are few and old ones fall out: without any, a start may have been among them.
    if not starts or max(starts) >= since:
        return _Holds.UNKNOWN
    return _Holds.NO


_STARTS: Final = frozenset({"start", "launch", "restart"})


def _staged(
    app: RunningApp, secret: StandingSecret, lacking: int, readers: int, ago: timedelta
) -> Finding:
    return app.finding(
        STAGED,
        f"secret:{app.name}/{secret.name}",
        f"{secret.name} of {app.name} was set {rough_duration(ago)} ago, and {lacking} of "
        f"{readers} running machines certainly run without it",
        f"fly secrets deploy --app {app.name}",
    )


def _torn(app: RunningApp, names: list[str], machines: list[str], running: int) -> Finding:
    return app.finding(
        DIFFER,
        f"app:{app.name}",
        f"{len(machines)} of {running} running machines of {app.name} ({named(machines)}) lack the "
        f"newest {named(sorted(names))}, which others have",
        f"fly secrets deploy --app {app.name}",
    )


@dataclass(frozen=True)
class Placed:
    """Where a digest stands."""

    organization: str
    app: str
    name: str


class Digests:
    """Which apps hold equal values, gathered app by app. Keeps names and digests only."""

    def __init__(self) -> None:
        self._places: dict[str, list[Placed]] = defaultdict(list)

    def add(self, app: RunningApp) -> None:
        """Take up the secrets of one app."""
        for secret in app.secrets:
            if secret.digest:
                self._places[secret.digest].append(Placed(app.organization, app.name, secret.name))

    def findings(self, tracked: Mapping[tuple[str, str], str]) -> Iterator[Finding]:
        """What several apps hold. `tracked` gives the credential by app and name: one that is
        delivered to all of the places is replaced there together, as it should be."""
        for places in self._places.values():
            if len({(place.organization, place.app) for place in places}) == 1:
                continue
            credentials = {tracked.get((place.app, place.name)) for place in places}
            if len(credentials) == 1 and None not in credentials:
                continue
            for place in places:
                yield _shared(place, places)


def _shared(place: Placed, places: Iterable[Placed]) -> Finding:
    others = sorted(f"{each.app}/{each.name}" for each in places if each.app != place.app)
    return Finding(
        SHARED,
        f"secret:{place.app}/{place.name}",
        f"{place.name} of {place.app} has the same value as {named(others)}",
        f"fly secrets set {place.name}=NEW_VALUE --app {place.app}, or one credential in "
        "rotator.toml with a target for each",
        place.organization,
        place.app,
    )
