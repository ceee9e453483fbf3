"""Tokens of one name at one place, which a finding is about as a whole, and the words for them.

Names at Fly are not unique: a pipeline that makes a token for each build, or twenty people who all
took flyctl's default name, would otherwise be thousands of findings, and a finding has to keep its
subject when one token of a name takes another's place.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.discovery import APP_PROFILE, MARK
from rotator.domain.durations import rough_duration
from rotator.domain.posture.finding import Finding, Rule
from rotator.domain.posture.organization import HeldToken, OrganizationSnapshot, Tracking
from rotator.domain.risk import Risk

SHOWN: Final = 3
"""Tokens of a group that are told one by one."""
REVOKED_AT_ONCE: Final = 20
"""Ids in one `fly tokens revoke`; the next run of the command finds the others."""
YEAR: Final = timedelta(days=365)
SUGGESTED_LIFE: Final = "720h"
OWN_MANIFEST: Final = (
    "# rotator's own token; in the manifest it replaces that as well, with just what it needs:\n"
    '[credentials.rotator]\nkind = "rotator-token"\n'
    'targets = [ { type = "fly-secret", app = "YOUR-ROTATOR-APP", name = "FLY_API_TOKEN" } ]'
)


@dataclass(frozen=True)
class Entry:
    """A living token, and what tracks it."""

    token: HeldToken
    tracking: Tracking | None


@dataclass(frozen=True)
class TokenGroup:
    """The living tokens of one name (without rotator's mark) at one place, the newest first."""

    organization: str
    app: str | None
    name: str
    entries: tuple[Entry, ...]

    @property
    def subject(self) -> str:
        """As `rotator discover` names them."""
        return f"token:{self.app}/{self.name}" if self.app else f"token:{self.name}"

    @property
    def of_an_app(self) -> bool:
        """Whether they are limited to one app."""
        return any(each.token.profile == APP_PROFILE for each in self.entries)

    def finding(
        self,
        rule: Rule,
        found: Sequence[Entry],
        said: str,
        mend: str,
        *,
        risk: Risk | None = None,
    ) -> Finding:
        """A finding about these of its tokens; `said` goes on after their names."""
        message = f"{_these(self, found)} {said}; {_one_by_one(found)}"
        return Finding(
            rule,
            self.subject,
            message,
            mend,
            organization=self.organization,
            app=self.app or "",
            risk=risk,
        )


def grouped(
    snapshot: OrganizationSnapshot, now: datetime, *, retiring: bool = False
) -> list[TokenGroup]:
    """The living tokens, in order of place and name; with `retiring` those as well that rotator
    has replaced and revokes at the end of their overlap."""
    by_key: dict[tuple[str, str], list[Entry]] = {}
    for token in snapshot.holdings.tokens:
        tracking = snapshot.tokens.get(token.ref)
        goes = tracking is not None and tracking.retiring and not retiring
        if token.alive(now) and not goes:
            entry = Entry(token, tracking)
            by_key.setdefault((token.app or "", token.base_name), []).append(entry)
    return [
        TokenGroup(
            snapshot.organization,
            app or None,
            name,
            tuple(sorted(entries, key=lambda each: each.token.created_at, reverse=True)),
        )
        for (app, name), entries in sorted(by_key.items())
    ]


def untracked(entries: Iterable[Entry]) -> list[Entry]:
    """Those that no credential tracks."""
    return [each for each in entries if each.tracking is None]


def tracked(entries: Iterable[Entry]) -> list[Tracking]:
    """What tracks them, each credential once."""
    by_name = {each.tracking.credential: each.tracking for each in entries if each.tracking}
    return list(by_name.values())


def replaced(group: TokenGroup, found: Sequence[Entry]) -> str:
    """The commands that replace these tokens: by rotator where it tracks them, else by hand."""
    lines = [rotated(each) for each in tracked(found)]
    by_hand = untracked(found)
    if by_hand:
        lines += [made_again(group), revoked(by_hand)]
    return "\n".join(lines)


def rotated(tracking: Tracking) -> str:
    """The command that lets rotator replace a tracked one."""
    if tracking.retiring:
        return f"# {tracking.credential} has a new value; the old one goes with its overlap"
    if not tracking.credential:
        return OWN_MANIFEST
    command = f"rotator rotate now {tracking.credential}"
    if not tracking.observed:
        return command
    return f'# take mode = "observe" of {tracking.credential} out of the manifest first\n{command}'


def made_again(group: TokenGroup) -> str:
    """The command that makes one like these, with an end."""
    what = f"org --org {shlex.quote(group.organization)}"
    if group.app:
        what = f"deploy --app {shlex.quote(group.app)}"
    name = shlex.quote(group.name)
    return f"fly tokens create {what} --name {name} --expiry {SUGGESTED_LIFE}"


def revoked(entries: Sequence[Entry]) -> str:
    """The command that revokes them."""
    ids = (shlex.quote(each.token.ref) for each in entries[:REVOKED_AT_ONCE])
    return f"fly tokens revoke {' '.join(ids)}"


def adopted(group: TokenGroup) -> list[str]:
    """The command that puts them into the manifest; none for what some rotator has left behind."""
    if all(MARK.fullmatch(each.token.name) for each in untracked(group.entries)):
        return []
    return [adoption(group.organization, group.subject)]


def adoption(organization: str, key: str) -> str:
    """The command that puts what `rotator discover` names so into the manifest."""
    org, pattern = shlex.quote(organization), shlex.quote(glob.escape(key))
    return f"rotator discover --org {org} --write --pick {pattern}"


def up_to(lengths: Sequence[timedelta]) -> str:
    """The longest of some lives or ages, for people."""
    longest = span(max(lengths))
    return longest if len(lengths) == 1 else f"up to {longest}"


def span(length: timedelta) -> str:
    """A life or an age for people."""
    return rough_duration(length) if length < 2 * YEAR else f"{length.days // 365} years"


def _these(group: TokenGroup, found: Sequence[Entry]) -> str:
    where = f" of {group.app}" if group.app else ""
    if len(found) == 1:
        return f"the token {group.name!r}{where}"
    return f"each of {len(found)} tokens named {group.name!r}{where}"


def _one_by_one(found: Sequence[Entry]) -> str:
    told = [_facts(each) for each in found[:SHOWN]]
    if len(found) > SHOWN:
        told.append(f"and {len(found) - SHOWN} more")
    return "; ".join(told)


def _facts(entry: Entry) -> str:
    token = entry.token
    by = f" by {token.maker}" if token.maker else ""
    facts = (
        f"{token.ref} was made {token.created_at:%Y-%m-%d}{by}, ends {token.expires_at:%Y-%m-%d}"
    )
    if entry.tracking is None:
        return facts
    tracked_as = entry.tracking.credential
    return f"{facts}, tracked as {tracked_as}" if tracked_as else f"{facts}, rotator's own"
