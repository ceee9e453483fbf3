"""The rules about tokens. Pure.

Fly tells neither when a token was last used nor what it was narrowed to by its holder. So *unused*
is what shows by company (a newer one of the same name, a rotator's mark that no inventory knows),
and *unnarrowed* is told only of tokens whose value rotator holds and could read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.discovery import APP_PROFILE, MARK, ORGANIZATION_PROFILE
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.organization import OWN_KIND, OrganizationSnapshot, PersonalToken
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.token_groups import (
    SHOWN,
    SUGGESTED_LIFE,
    Entry,
    TokenGroup,
    adopted,
    grouped,
    made_again,
    replaced,
    revoked,
    rotated,
    span,
    tracked,
    untracked,
    up_to,
)
from rotator.domain.risk import Risk

PAGE: Final = "https://fly.io/docs/security/tokens/"
FOREVER: Final = timedelta(days=3650)
"""A life that nobody waits for the end of. Fly's own default is 20 years (`fly tokens create`)."""
SETTLED: Final = timedelta(days=7)
"""How long a newer token stands before the older ones of its name count as replaced."""
MAKING: Final = timedelta(days=1)
"""A token this young may belong to a rotation whose end is not in the database yet."""
DEPLOY_KIND: Final = "deploy-token"
_OTHER_NAMES: Final = frozenset({"flyctl ssh token", "flyctl machine-exec token"})
"""flyctl's names for tokens that lists show like deploy tokens (`fly tokens create`)."""
_PERSONAL_TYPES: Final = frozenset({"pat", "token"})
"""Fly: personal access tokens. The other types are sessions of flyctl and of Fly's own pages."""

ORG_WIDE: Final = Rule(
    "token-org-wide",
    Topic.TOKENS,
    Risk.HIGH,
    "A token for the whole organisation",
    "Whoever gets hold of it may read the secrets of every app, change every app, and make further "
    "tokens.",
    'Give each pipeline a deploy token of its app, or narrow it: narrow = { apps = ["web"] }.',
    PAGE,
)
PERSONAL: Final = Rule(
    "token-personal",
    Topic.TOKENS,
    Risk.HIGH,
    "A personal access token",
    "It acts as a person, in every organisation of theirs, has no end, and can't be narrowed.",
    "Use a deploy token, and revoke it.",
    PAGE,
)
NEVER_EXPIRES: Final = Rule(
    "token-never-expires",
    Topic.TOKENS,
    Risk.HIGH,
    "A token that does not expire within anybody's memory",
    "Fly's default is 20 years: a copy that leaks, or lies in an old backup, works until then.",
    "Replace it by one with a short life; rotator's own end with the next rotation.",
    PAGE,
)
LONG_LIVED: Final = Rule(
    "token-long-lived",
    Topic.TOKENS,
    Risk.MEDIUM,
    "A token with a longer life than the policy allows",
    "The longer it lives, the longer a copy that nobody knows of works.",
    "Replace it by one with a shorter life (token_max_life of the posture policy).",
    PAGE,
)
OLD: Final = Rule(
    "token-old",
    Topic.TOKENS,
    Risk.MEDIUM,
    "A token older than the policy allows",
    "With its age grows the number of places and people that have seen it.",
    "Rotate it; let rotator do so by schedule.",
    PAGE,
)
UNUSED: Final = Rule(
    "token-unused",
    Topic.TOKENS,
    Risk.MEDIUM,
    "A token that something newer has replaced",
    "Fly does not tell when a token was last used. What a newer one of the same name has replaced, "
    "or a rotation has left behind, opens doors and serves nobody.",
    "Make sure that nothing uses it, and revoke it.",
    PAGE,
)
UNTRACKED: Final = Rule(
    "token-untracked",
    Topic.TOKENS,
    Risk.LOW,
    "A token that no credential of the manifest tracks",
    "Nobody replaces it by schedule, and nobody knows where its copies are.",
    "Put it into the manifest, or revoke it.",
    PAGE,
)
UNNARROWED: Final = Rule(
    "token-unnarrowed",
    Topic.TOKENS,
    Risk.LOW,
    "A token that was never narrowed",
    "It may do all that Fly's profile allows, which is more than any one use needs: a deploy token "
    "also runs commands in machines and adds WireGuard peers.",
    "Say in the manifest what it has to do (`narrow`, `bind`); the next rotation keeps to it.",
    PAGE,
)
MANY: Final = Rule(
    "app-many-deploy-tokens",
    Topic.TOKENS,
    Risk.MEDIUM,
    "More deploy tokens for an app than pipelines that deploy it",
    "Each one is a key to the app, and those beyond the pipelines' number have no known user.",
    "Revoke what no pipeline uses (deploy_tokens_an_app of the posture policy is their number).",
    "https://fly.io/docs/flyctl/tokens-create-deploy/",
)
RULES: Final[tuple[Rule, ...]] = (
    ORG_WIDE,
    PERSONAL,
    NEVER_EXPIRES,
    LONG_LIVED,
    OLD,
    UNUSED,
    UNTRACKED,
    UNNARROWED,
    MANY,
)

_Check = Callable[[TokenGroup, PosturePolicy, datetime], Finding | None]


def check_tokens(
    snapshot: OrganizationSnapshot, policy: PosturePolicy, now: datetime
) -> tuple[Finding, ...]:
    """What is wrong with the tokens of an organisation: a finding for each rule and name."""
    groups = grouped(snapshot, now)
    found = [
        finding for group in groups for check in _CHECKS if (finding := check(group, policy, now))
    ]
    return (*found, *_many(groups, policy))


def check_personal(listed: Sequence[PersonalToken], now: datetime) -> tuple[Finding, ...]:
    """What is wrong with the personal tokens of whoever rotator's own token is."""
    by_name: dict[str, list[PersonalToken]] = {}
    for each in listed:
        if each.type in _PERSONAL_TYPES:
            by_name.setdefault(each.name, []).append(each)
    return tuple(
        Finding(
            PERSONAL,
            f"personal-token:{name}",
            f"the personal access token {name!r} acts as its owner everywhere and has no end; "
            f"made {min(each.created_at for each in same):%Y-%m-%d}, "
            f"{span(now - min(each.created_at for each in same))} ago",
            "\n".join(_deletion(each) for each in same),
        )
        for name, same in sorted(by_name.items())
    )


def graphql_command(mutation: str, given: Mapping[str, str]) -> str:
    """A change that flyctl has no command for, with its input."""
    kind = mutation[0].upper() + mutation[1:]
    query = f"mutation($i:{kind}Input!){{{mutation}(input:$i){{clientMutationId}}}}"
    body = json.dumps({"query": query, "variables": {"i": dict(given)}}, separators=(",", ":"))
    return (
        "curl -sS https://api.fly.io/graphql -H 'Content-Type: application/json' "
        f'-H "Authorization: $FLY_API_TOKEN" -d {shlex.quote(body)}'
    )


def _deletion(token: PersonalToken) -> str:
    return graphql_command("deleteAccessToken", {"accessTokenId": token.id})


def _org_wide(group: TokenGroup, _: PosturePolicy, now: datetime) -> Finding | None:
    """A tracked one by what its value says; of others no list tells what they were narrowed to."""
    found = [each for each in group.entries if _is_org_wide(each)]
    if not found:
        return None
    by_hand = untracked(found)
    lines = [
        f'# in [credentials.{each.credential}]: narrow = {{ apps = ["APP"] }}\n{rotated(each)}'
        for each in tracked(found)
    ]
    if by_hand:
        deploy = f"fly tokens create deploy --app APP --expiry {SUGGESTED_LIFE}"
        lines += [f"{deploy}  # for each app that it is used for", revoked(by_hand)]
        said = (
            "may change every app of the organisation, unless its holder narrowed it: no list tells"
        )
        forever = any(each.token.expires_at - now > FOREVER for each in by_hand)
        risk = Risk.CRITICAL if forever else Risk.HIGH
    else:
        said, risk = "may change every app of the organisation", Risk.MEDIUM
    return group.finding(ORG_WIDE, found, said, "\n".join(lines), risk=risk)


def _is_org_wide(entry: Entry) -> bool:
    if entry.token.profile != ORGANIZATION_PROFILE:
        return False
    if entry.tracking is None:
        return True
    if entry.tracking.kind == OWN_KIND:
        return False  # what rotator's own may do has a rule of its own
    reading = entry.tracking.reading
    return reading is not None and reading.changes_all_apps


def _never_expires(group: TokenGroup, _: PosturePolicy, __: datetime) -> Finding | None:
    found = [each for each in group.entries if _life(each) >= FOREVER]
    if not found:
        return None
    longest = up_to([_life(each) for each in found])
    return group.finding(NEVER_EXPIRES, found, f"lives for {longest}", replaced(group, found))


def _long_lived(group: TokenGroup, policy: PosturePolicy, _: datetime) -> Finding | None:
    found = [each for each in group.entries if policy.token_max_life < _life(each) < FOREVER]
    if not found:
        return None
    longest = up_to([_life(each) for each in found])
    said = f"lives for {longest}, and at most {span(policy.token_max_life)} are allowed"
    return group.finding(LONG_LIVED, found, said, replaced(group, found))


def _old(group: TokenGroup, policy: PosturePolicy, now: datetime) -> Finding | None:
    found = [each for each in group.entries if _age(each, now) > policy.token_max_age]
    if not found:
        return None
    oldest = up_to([_age(each, now) for each in found])
    said = f"is {oldest} old, and at most {span(policy.token_max_age)} are allowed"
    lines = [rotated(each) for each in tracked(found)]
    if untracked(found):
        by_hand = f"# or by hand:\n{made_again(group)}\n{revoked(untracked(found))}"
        lines += [*adopted(group), by_hand]
    return group.finding(OLD, found, said, "\n".join(lines))


def _unused(group: TokenGroup, _: PosturePolicy, now: datetime) -> Finding | None:
    """Tracked ones are left out: rotator knows what has replaced them, and revokes them."""
    settled = [each for each in group.entries if _age(each, now) >= SETTLED]
    older = untracked(settled[1:])
    left = [each for each in untracked(group.entries) if _is_left_over(each, now)]
    found = [each for each in group.entries if each in older or each in left]
    if not found:
        return None
    why = [f"was replaced by {settled[0].token.ref} of the same name"] if older else []
    why += ["carries a rotator's mark that no rotation of this inventory has set"] if left else []
    said = f"seems to be of no use: it {', or '.join(why)}"
    return group.finding(UNUSED, found, said, revoked(found))


def _is_left_over(entry: Entry, now: datetime) -> bool:
    return MARK.fullmatch(entry.token.name) is not None and _age(entry, now) > MAKING


def _untracked(group: TokenGroup, _: PosturePolicy, now: datetime) -> Finding | None:
    found = [
        each
        for each in untracked(group.entries)
        if MARK.fullmatch(each.token.name) is None or _is_left_over(each, now)
    ]
    if not found:
        return None
    said = "is tracked by no credential of the manifest, so nobody replaces it by schedule"
    adopting = adopted(group)
    mend = "\n".join([*adopting, f"# or: {revoked(found)}"]) if adopting else revoked(found)
    return group.finding(UNTRACKED, found, said, mend)


def _unnarrowed(group: TokenGroup, _: PosturePolicy, __: datetime) -> Finding | None:
    found = [
        each
        for each in group.entries
        if each.tracking is not None
        and each.tracking.kind != OWN_KIND
        and each.tracking.reading is not None
        and not each.tracking.reading.narrowed
    ]
    if not found:
        return None
    lines = [
        f'# in [credentials.{each.credential}]: narrow = {{ actions = "rw" }}\n{rotated(each)}'
        for each in tracked(found)
    ]
    said = "may do all that Fly's profile for it allows: nothing shows that it was narrowed"
    risk = Risk.LOW if group.of_an_app else Risk.MEDIUM
    return group.finding(UNNARROWED, found, said, "\n".join(lines), risk=risk)


def _many(groups: Sequence[TokenGroup], policy: PosturePolicy) -> Iterator[Finding]:
    """Of a rotation's new and old token only one counts: a credential is one pipeline's."""
    by_app: dict[tuple[str, str], list[Entry]] = {}
    for group in groups:
        if group.app is not None:
            deploying = [each for each in group.entries if _deploys(each)]
            by_app.setdefault((group.organization, group.app), []).extend(deploying)
    for (organization, app), entries in sorted(by_app.items()):
        beyond = len(tracked(entries)) + len(untracked(entries)) - policy.deploy_tokens_an_app
        if beyond > 0:
            message, mend = _too_many(app, entries, beyond)
            subject = f"app:{app}"
            yield Finding(MANY, subject, message, mend, organization=organization, app=app)


def _too_many(app: str, entries: Sequence[Entry], beyond: int) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    by_rotator = len(tracked(entries))
    others = sorted(untracked(entries), key=lambda each: each.token.created_at)
    count = by_rotator + len(others)
    message = f"{app} has {count} deploy tokens, {by_rotator} of them tracked, {beyond} too many"
    mend = f"fly tokens list --app {shlex.quote(app)}  # which of them does a pipeline use?"
    if others:
        names = ", ".join(f"{each.token.name!r} ({each.token.ref})" for each in others[:SHOWN])
        message += f"; not tracked, the oldest first: {names}" + (", …" if others[SHOWN:] else "")
        mend += f"\n{revoked(others[:beyond])}"
    if beyond > len(others):
        mend += "\n# and take the credentials that no pipeline needs out of the manifest"
    return message, mend


def _deploys(entry: Entry) -> bool:
    if entry.tracking is not None:
        return entry.tracking.kind == DEPLOY_KIND
    return entry.token.profile == APP_PROFILE and entry.token.base_name not in _OTHER_NAMES


def _life(entry: Entry) -> timedelta:
    return entry.token.expires_at - entry.token.created_at


def _age(entry: Entry, now: datetime) -> timedelta:
    return now - entry.token.created_at


_CHECKS: Final[tuple[_Check, ...]] = (
    _org_wide,
    _never_expires,
    _long_lived,
    _old,
    _unused,
    _untracked,
    _unnarrowed,
)
