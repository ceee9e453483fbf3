"""The rules about rotator itself. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rotator_facts import (
    FileMode,
    OwnFile,
    OwnTokenFacts,
    RotatorFacts,
    TokenForm,
)
from rotator.domain.posture.rules_tokens import FOREVER
from rotator.domain.posture.token_groups import OWN_MANIFEST, span
from rotator.domain.risk import Risk

TOKENS_PAGE: Final = "https://fly.io/docs/security/tokens/"
SECRETS_PAGE: Final = "https://fly.io/docs/apps/secrets/"
SHARED_PAGE: Final = "https://fly.io/docs/security/shared-responsibility/"
OTHERS_READ: Final = 0o004
OTHERS_WRITE: Final = 0o022
"""Writable by the group as well: whoever may write the manifest decides what rotator does."""

KEY_MISSING: Final = Rule(
    "rotator-key-missing",
    Topic.ROTATOR,
    Risk.HIGH,
    "A database without the key to its values",
    "Without its key rotator can seal no new value and open none that it holds: nothing can be "
    "undone, and no token of its own be taken up.",
    "Set ROTATOR_KEYS to the key that the values are under.",
    SECRETS_PAGE,
)
ONE_KEY: Final = Rule(
    "rotator-one-key",
    Topic.ROTATOR,
    Risk.NOTE,
    "One key only, and nothing to replace it with",
    "The key that encrypts all values is a credential as well. Where it is lost, everything that "
    "is sealed is lost with it.",
    "Keep a copy of it apart from the database, and replace it: ROTATOR_KEYS=NEW,OLD.",
    SECRETS_PAGE,
)
_EXPOSED: Final = {
    OwnFile.MANIFEST: Rule(
        "rotator-manifest-exposed",
        Topic.ROTATOR,
        Risk.LOW,
        "The manifest is open to others on this machine",
        "It tells which credentials there are and where they go; whoever may write it decides what "
        "rotator delivers where.",
        "Leave it to rotator's own user.",
        SHARED_PAGE,
    ),
    OwnFile.DATABASE: Rule(
        "rotator-database-exposed",
        Topic.ROTATOR,
        Risk.MEDIUM,
        "The database is open to others on this machine",
        "Values in it are sealed, names, places and times are not; whoever may write it can stop "
        "rotator.",
        "Leave it to rotator's own user.",
        SHARED_PAGE,
    ),
    OwnFile.ENVIRONMENT: Rule(
        "rotator-env-exposed",
        Topic.ROTATOR,
        Risk.CRITICAL,
        "The file with rotator's keys and token is open to others on this machine",
        "With the keys every sealed value can be read, and with the token everything be changed "
        "that rotator may change.",
        "Leave it to rotator's own user, and replace keys and token if somebody may have read it.",
        SECRETS_PAGE,
    ),
}
TOO_WIDE: Final = Rule(
    "rotator-token-too-wide",
    Topic.ROTATOR,
    Risk.MEDIUM,
    "Rotator's own token may do more than the manifest needs",
    "It lies wherever rotator runs: what it may do, whoever takes it there may do.",
    "Let rotator make its own token, with just the rights that the manifest needs.",
    TOKENS_PAGE,
)
NO_END: Final = Rule(
    "rotator-token-never-expires",
    Topic.ROTATOR,
    Risk.HIGH,
    "Rotator's own token does not end in good time",
    "A copy of it goes on working long after rotator was taken away.",
    "Let rotator make and replace its own token.",
    TOKENS_PAGE,
)
CLOCK: Final = Rule(
    "rotator-clock-off",
    Topic.ROTATOR,
    Risk.MEDIUM,
    "This machine's clock is off",
    "Expiries, windows and claims are judged by it: a token can end before it is replaced, and the "
    "audit log tells wrong times.",
    "Let the machine keep time by NTP.",
    SHARED_PAGE,
)
LATE: Final = Rule(
    "rotator-checkpoint-late",
    Topic.ROTATOR,
    Risk.MEDIUM,
    "No checkpoint of the audit log has left this machine for a while",
    "What was not witnessed elsewhere can be rewritten by whoever owns database and keys.",
    "See why the place does not take them; see that the daemon runs.",
    SHARED_PAGE,
)
STAY: Final = Rule(
    "rotator-checkpoints-stay",
    Topic.ROTATOR,
    Risk.LOW,
    "Checkpoints of the audit log are sent nowhere",
    "What was not witnessed elsewhere can be rewritten by whoever owns database and keys.",
    "Name a place: ROTATOR_CHECKPOINT_FILE, _WEBHOOK or _TARGET.",
    SHARED_PAGE,
)
UNVERIFIED: Final = Rule(
    "rotator-log-unverified",
    Topic.ROTATOR,
    Risk.LOW,
    "The audit log was never verified",
    "Damage shows only when somebody looks, and then it has to be found among everything.",
    "Verify it, once a day: `rotator audit verify --incremental`.",
    SHARED_PAGE,
)
RULES: Final[tuple[Rule, ...]] = (
    KEY_MISSING,
    ONE_KEY,
    *_EXPOSED.values(),
    TOO_WIDE,
    NO_END,
    CLOCK,
    LATE,
    STAY,
    UNVERIFIED,
)
_Check = Callable[[RotatorFacts, PosturePolicy, datetime], Iterator[Finding]]


def check_rotator(facts: RotatorFacts, policy: PosturePolicy, now: datetime) -> tuple[Finding, ...]:
    """What is wrong with rotator itself."""
    return tuple(finding for check in _CHECKS for finding in check(facts, policy, now))


def _keys(facts: RotatorFacts, _: PosturePolicy, __: datetime) -> Iterator[Finding]:
    held = sum(facts.sealed.values())
    if not facts.key_ids:
        said = f"ROTATOR_KEYS is not set, and {_values(held)} in the database can't be opened"
        mend = 'echo "ROTATOR_KEYS=$(rotator keys new)" >> .env'
        if held:
            mend = "# set ROTATOR_KEYS to the key that this database was used with"
        yield Finding(KEY_MISSING, "rotator:keys", said, mend)
        return
    lost = {key: count for key, count in facts.sealed.items() if key not in facts.key_ids}
    for key, count in sorted(lost.items()):
        said = f"{_values(count)} can't be opened: the key {key} is not in ROTATOR_KEYS"
        mend = "# add that key behind the present one in ROTATOR_KEYS, separated by a comma"
        yield Finding(KEY_MISSING, f"rotator:key:{key}", said, mend)
    if len(facts.key_ids) == 1 and not lost:
        said = f"{_values(held)} in the database can be opened by the key {facts.key_ids[0]} alone"
        mend = (
            "umask 077; rotator keys new > new.key\n"
            "# set ROTATOR_KEYS=NEW,OLD, restart the daemon, then: rotator keys rotate"
        )
        yield Finding(ONE_KEY, "rotator:keys", said, mend)


def _files(facts: RotatorFacts, _: PosturePolicy, __: datetime) -> Iterator[Finding]:
    for file in OwnFile:
        found = [
            each
            for each in facts.files
            if each.file is file and each.mode & (OTHERS_READ | OTHERS_WRITE)
        ]
        if found:
            yield _exposed(_EXPOSED[file], found)


def _exposed(rule: Rule, found: list[FileMode]) -> Finding:
    written = any(each.mode & OTHERS_WRITE for each in found)
    may = "read and written" if written else "read"
    told = ", ".join(f"{each.path} (mode {each.mode:04o})" for each in found)
    mend = f"chmod 600 {' '.join(shlex.quote(each.path) for each in found)}"
    risk = max(Risk.HIGH, rule.risk) if written else rule.risk
    subject = f"rotator:{found[0].file.value}"
    return Finding(rule, subject, f"{told} may be {may} by others", mend, risk=risk)


def _rights(facts: RotatorFacts, _: PosturePolicy, __: datetime) -> Iterator[Finding]:
    token = facts.token
    if token is None:
        return
    if token.form is TokenForm.PERSONAL:
        said = "rotator's API token is a personal one: it acts as that person in every organisation"
        yield Finding(TOO_WIDE, "rotator:token", said, _own(token), risk=Risk.HIGH)
    elif token.excess:
        said = f"rotator's API token may do more than the manifest needs: {'; '.join(token.excess)}"
        yield Finding(TOO_WIDE, "rotator:token", said, _own(token))


def _life(facts: RotatorFacts, policy: PosturePolicy, now: datetime) -> Iterator[Finding]:
    token = facts.token
    if token is None or token.form is TokenForm.UNREADABLE:
        return
    if token.expires_at is None:
        said = "rotator's API token has no end that could be read"
        yield Finding(NO_END, "rotator:token", said, _own(token))
        return
    left = token.expires_at - now
    if left > policy.token_max_life:
        said = (
            f"rotator's API token ends {token.expires_at:%Y-%m-%d}, in {span(left)}, and at most "
            f"{span(policy.token_max_life)} are allowed"
        )
        risk = Risk.HIGH if left > FOREVER else Risk.MEDIUM
        yield Finding(NO_END, "rotator:token", said, _own(token), risk=risk)


def _own(token: OwnTokenFacts) -> str:
    if token.credential is not None:
        return f"rotator rotate now {token.credential}"
    return OWN_MANIFEST


def _clock(facts: RotatorFacts, policy: PosturePolicy, _: datetime) -> Iterator[Finding]:
    """By what is sure alone: the whole range of what it may be lies beyond the tolerance."""
    offset = facts.clock
    if offset is None:
        return
    if offset.least > policy.clock_tolerance:
        by, way = offset.least, "behind"
    elif -offset.most > policy.clock_tolerance:
        by, way = -offset.most, "ahead of"
    else:
        return
    said = (
        f"this machine's clock is {by.total_seconds():.1f}s or more {way} Fly's, and at most "
        f"{policy.clock_tolerance.total_seconds():g}s are allowed"
    )
    yield Finding(CLOCK, "rotator:clock", said, "timedatectl set-ntp true")


def _checkpoints(facts: RotatorFacts, policy: PosturePolicy, now: datetime) -> Iterator[Finding]:
    log = facts.log
    if not log.size:
        return
    if not log.places:
        said = "no place is set that checkpoints are sent to, so the daemon's log has them alone"
        mend = "ROTATOR_CHECKPOINT_FILE=/var/log/rotator/checkpoints  # or _WEBHOOK, _TARGET"
        yield Finding(STAY, "rotator:checkpoints", said, mend)
        return
    unsigned = log.signed_at is None or log.signed < log.size
    if unsigned and log.signed_at is not None and now - log.signed_at > policy.checkpoint_max_age:
        said = (
            f"the newest checkpoint is {span(now - log.signed_at)} old, and "
            f"{log.size - log.signed} events came after it: the daemon, which signs, does not run"
        )
        yield Finding(LATE, "rotator:checkpoints", said, "rotator run")
    for place in log.places:
        waits = now - place.waiting_since if place.waiting_since else timedelta(0)
        if waits > policy.checkpoint_max_age:
            tries = f" after {place.failures} failures in a row" if place.failures else ""
            said = f"a checkpoint has waited {span(waits)} to be sent to {place.name}{tries}"
            yield Finding(LATE, f"rotator:checkpoints:{place.name}", said, "rotator audit places")


def _verified(facts: RotatorFacts, _: PosturePolicy, __: datetime) -> Iterator[Finding]:
    if facts.log.size and not facts.log.verified:
        said = f"none of the {facts.log.size} events of the audit log was ever verified"
        yield Finding(UNVERIFIED, "rotator:log", said, "rotator audit verify")


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


_CHECKS: Final[tuple[_Check, ...]] = (
    _keys,
    _files,
    _rights,
    _life,
    _clock,
    _checkpoints,
    _verified,
)
