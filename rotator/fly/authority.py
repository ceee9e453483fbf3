"""What rotator's own API token may do, read from its caveats: no call is made.

Only what a caveat surely forbids is told; what can't be judged from here (numbers of apps and
organisations, unknown caveats) is left to Fly, which checks every request anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.domain.credential import CredentialSpec
from rotator.domain.ports import Clock
from rotator.domain.secret import Secret
from rotator.fly import macaroon as m
from rotator.fly.api_token import ApiToken, as_api_token

WIREGUARD: Final = "wg"
SOON_SECONDS: Final = 3600


@dataclass(frozen=True)
class Need:
    """One right: an action, on an app or (without one) on the organisation itself."""

    what: str
    action: int
    on_app: bool = False
    feature: str | None = None
    mutation: str | None = None


_ADD_PEER: Final = Need(
    "add WireGuard peers", m.CREATE, feature=WIREGUARD, mutation="addWireGuardPeer"
)
_REMOVE_PEER: Final = Need(
    "remove WireGuard peers", m.DELETE, feature=WIREGUARD, mutation="removeWireGuardPeer"
)
_SET_SECRETS: Final = "set secrets and update machines of {}"

_APP_TOKENS: Final = frozenset({"deploy-token", "ssh-token", "machine-exec-token"})
_ORG_TOKENS: Final = frozenset({"org-token", "readonly-token", "wireguard-token", "rotator-token"})


def _needs(spec: CredentialSpec) -> list[Need]:
    """The rights that rotating this credential takes."""
    found: list[Need] = []
    if spec.kind == "wireguard-peer":
        found += [_ADD_PEER, _REMOVE_PEER]
    if spec.kind in _APP_TOKENS | _ORG_TOKENS:
        found += _token_needs(spec)
    apps = sorted({target.app for target in spec.targets if target.app})
    return found + [Need(_SET_SECRETS.format(app), m.READ | m.WRITE, on_app=True) for app in apps]


def _token_needs(spec: CredentialSpec) -> list[Need]:
    """To look up who is who, to list, to make and to revoke; only an organisation's token may."""
    what = f"{spec.kind.replace('-', ' ')}s"
    named = spec.params.get("narrow.apps", ())
    return [
        Need(f"list {what}", m.READ, on_app=spec.kind in _APP_TOKENS),
        Need(f"create {what}", m.CREATE, mutation="createLimitedAccessToken"),
        Need(f"revoke {what}", m.DELETE, mutation="deleteLimitedAccessToken"),
        *(
            Need(f"look the app {app} up", m.READ, on_app=True)
            for app in (named if isinstance(named, tuple | list) else ())
        ),
    ]


class TokenAuthority:
    """The engine's `Authority`, for the API token that is in use."""

    def __init__(self, token: Secret | ApiToken, clock: Clock) -> None:
        self._clock, self._token = clock, as_api_token(token)
        self._read: tuple[Secret, Sequence[m.Macaroon]] | None = None

    @property
    def _tokens(self) -> Sequence[m.Macaroon]:
        value = self._token.value
        if self._read is None or self._read[0] is not value:
            try:
                self._read = (value, m.permission_tokens(value.reveal()))
            except m.MacaroonError:
                self._read = (value, ())
        return self._read[1]

    def expires_at(self) -> datetime | None:
        """When the token ends; None if it can't be read or has no end."""
        ends = [end for end in map(m.expires_at, self._tokens) if end is not None]
        return max(ends, default=None)

    async def missing(self, spec: CredentialSpec) -> Sequence[str]:
        """What the token lacks for rotating this credential, a sentence each."""
        if not self._tokens:
            return ()
        ends = self.expires_at()
        if ends is not None and ends <= self._clock.now():
            return (f"the API token has expired at {ends:%Y-%m-%d %H:%M} UTC",)
        return tuple(
            f"the API token may not {need.what}: {why}"
            for need in _needs(spec)
            if (why := self._why_not(need)) is not None
        )

    def _why_not(self, need: Need) -> str | None:
        """One token of a bundle that may is enough."""
        reasons = [_first_refusal(token, need) for token in self._tokens]
        return None if None in reasons else reasons[0]


def _first_refusal(token: m.Macaroon, need: Need) -> str | None:
    for each in token.caveats:
        reason = _refusal(each, need)
        if reason is not None:
            return reason
    return None


def _refusal(each: m.Caveat, need: Need) -> str | None:
    judge = _JUDGES.get(each.type)
    return judge(each, need) if judge is not None and each.fields is not None else None


def _organization(each: m.Caveat, need: Need) -> str | None:
    return _masked(each, 1, need, "it is limited to other actions in the organisation")


def _action(each: m.Caveat, need: Need) -> str | None:
    return _masked(each, 0, need, "it is limited to other actions")


def _masked(each: m.Caveat, index: int, need: Need, reason: str) -> str | None:
    mask = (each.fields or ())[index]
    return reason if isinstance(mask, int) and need.action & ~mask else None


def _apps(each: m.Caveat, need: Need) -> str | None:
    masks = (each.fields or ({},))[0]
    if not isinstance(masks, dict):
        return None
    if not need.on_app:
        return "it is limited to apps, so it is no token of the whole organisation"
    fits = any(isinstance(mask, int) and not need.action & ~mask for mask in masks.values())
    return None if fits else "it may do less than that on the apps that it is limited to"


def _features(each: m.Caveat, need: Need) -> str | None:
    masks = (each.fields or ({},))[0]
    if not isinstance(masks, dict) or need.feature in masks or "" in masks:
        return None
    return f"it is limited to the features {', '.join(sorted(map(str, masks))) or 'none'}"


def _machines(_: m.Caveat, need: Need) -> str | None:
    return "it is limited to some machines" if not need.on_app else None


def _mutations(each: m.Caveat, need: Need) -> str | None:
    allowed = (each.fields or ((),))[0]
    if isinstance(allowed, tuple) and need.mutation not in allowed:
        return "it is limited to other mutations"
    return None


def _if_present(each: m.Caveat, need: Need) -> str | None:
    """The nested caveats decide where they concern the need, else the mask behind them does."""
    concerned = [inner for inner in each.nested if _concerns(inner, need)]
    if not concerned:
        return _masked(each, 1, need, "it is limited to other actions there")
    refusals = (_refusal(inner, need) for inner in concerned)
    return next((reason for reason in refusals if reason is not None), None)


def _concerns(each: m.Caveat, need: Need) -> bool:
    match each.type:
        case m.APPS:
            return need.on_app
        case m.FEATURE_SET:
            return need.feature is not None
        case m.MUTATIONS:
            return need.mutation is not None
        case m.MACHINES:
            return False
        case _:
            return each.fields is not None


_JUDGES: Final[dict[int, Callable[[m.Caveat, Need], str | None]]] = {
    m.ORGANIZATION: _organization,
    m.ACTION: _action,
    m.APPS: _apps,
    m.FEATURE_SET: _features,
    m.MACHINES: _machines,
    m.MUTATIONS: _mutations,
    m.IF_PRESENT: _if_present,
}
