"""The value of a token, before it is sealed and as it is delivered: copied, narrowed, bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.durations import format_duration
from rotator.domain.errors import NeedsHuman, Refused
from rotator.domain.fields import optional_text
from rotator.domain.ports import MintRequest
from rotator.domain.schedule import expires_at
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon
from rotator.fly.bundle import read_bundle
from rotator.kinds.narrowing import narrow_of, read_bind


def facts_of(
    organization: int, numbers: Mapping[str, int], end: datetime, bind: object | None
) -> dict[str, str]:
    """What later steps need to know of a token, as it is kept with its version."""
    facts = {
        "organization_number": str(organization),
        "app_numbers": ",".join(f"{name}={number}" for name, number in numbers.items()),
        "asked_expiry": end.isoformat(),
    }
    return facts | ({"bind": str(bind)} if bind is not None else {})


def end_of(request: MintRequest, now: datetime) -> datetime:
    """When the new token has to end, to the second."""
    if request.expires_at is None:
        raise NeedsHuman(
            f"the policy of {request.spec.name} gives its token no end",
            next_step="set `every`, `cron` or `max_age` in the manifest",
        )
    wished = narrow_of(request.spec.params).ends_at(now)
    end = request.expires_at if wished is None else min(request.expires_at, wished)
    if end <= now:
        raise NeedsHuman(
            f"`narrow.until` of {request.spec.name} has passed: there is nothing to make",
            next_step="set it to a later day, or take the credential out of the manifest",
        )
    return end


def numbers_of(issued: Issued) -> tuple[int, dict[str, int]]:
    """The number of the organisation, and those of the apps by name, that a version was made
    for."""
    facts = issued.facts
    pairs = (pair.split("=") for pair in facts.get("app_numbers", "").split(",") if pair)
    return int(facts["organization_number"]), {name: int(number) for name, number in pairs}


def copied(header: Secret, copies: Sequence[Sequence[c.Caveat]]) -> Secret:
    """A copy of the permission token for each list of caveats, and the discharges behind them."""
    try:
        bundle = read_bundle(header.reveal())
        if len(bundle.permissions) != 1:
            raise Refused(
                f"Fly's answer holds {len(bundle.permissions)} permission tokens, not one"
            )
        narrowed = [bundle.permissions[0].attenuate(each) for each in copies]
    except macaroon.MacaroonError as error:
        raise Refused(f"the new token can't be narrowed: {error}") from None
    return Secret(macaroon.header_of([*narrowed, *bundle.discharges]))


def bound(value: Secret, kept: str) -> Secret:
    """The value, bound to the place that a version's facts name."""
    bundle = read_bundle(value.reveal())
    only = [read_bind(kept).caveat()]
    bound = [token.attenuate(only) for token in bundle.permissions]
    return Secret(macaroon.header_of([*bound, *bundle.discharges]))


def wrong_life(spec: CredentialSpec, now: datetime) -> str | None:
    """`window` is a promise that no token lives longer; the policy must keep it."""
    window = narrow_of(spec.params).window
    needed: timedelta = expires_at(spec.policy, now) - now
    if window is None or needed <= window:
        return None
    return (
        f"`narrow.window` is {format_duration(window)}, but by its policy a token has to live "
        f"{format_duration(needed)}: until the next rotation, its jitter and overlap, and some "
        "room; rotate more often or widen the window"
    )


def wrong_bind(spec: CredentialSpec) -> str | None:
    """A token that is bound to one app and delivered to another would work nowhere."""
    app = optional_text(spec.params, "bind.app")
    for target in spec.targets:
        if app is not None and target.app not in (None, app):
            return (
                f"it is bound to the app {app} and delivered to {target.key}, where it would be "
                f"refused; deliver it to {app} or bind it to {target.app}"
            )
    return None
