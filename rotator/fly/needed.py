"""What rotator's own API token has to be allowed, for what the manifest asks. Pure.

The actions are those that Fly's documents give for each call where they do, and otherwise one more
rather than one less: on an app that rotator restarts machines of, a missing one would show in the
middle of a rollout only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rotator.domain.credential import CredentialSpec, TargetSpec
from rotator.domain.policy import Strategy
from rotator.fly import caveats as c
from rotator.fly.access import Access

OWN: Final = "rotator-token"
_OF_AN_APP: Final = frozenset({"deploy-token", "ssh-token", "machine-exec-token"})
_OF_ALL: Final = frozenset({"org-token", "readonly-token", "wireguard-token", OWN})
_TOKENS: Final = ("createLimitedAccessToken", "deleteLimitedAccessToken")
_PEERS: Final = ("addWireGuardPeer", "removeWireGuardPeer", "validateWireGuardPeers")
WIREGUARD: Final = "wg"


@dataclass(frozen=True)
class Right:
    """One thing that has to be allowed, in words, and the credentials that need it."""

    what: str
    actions: str
    why: tuple[str, ...]


@dataclass
class Needed:
    """The rights: masks of actions on each app and feature, mutations, and on the organisation."""

    apps: dict[str, int] = field(default_factory=dict)
    features: dict[str, int] = field(default_factory=dict)
    mutations: dict[str, None] = field(default_factory=dict)
    organization: int = 0
    why: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)

    def rights(self) -> tuple[Right, ...]:
        """For people, in the order of the manifest."""
        found: dict[str, tuple[str, dict[str, None]]] = {}
        for (what, letters), names in self.why.items():
            merged, known = found.get(what, ("", {}))
            both = c.action_mask(merged) | c.action_mask(letters)
            found[what] = (letters_of(both), {**known, **names})
        return tuple(Right(what, letters, tuple(names)) for what, (letters, names) in found.items())

    def add_app(self, app: str, letters: str, what: str, name: str) -> None:
        """An app."""
        self.apps[app] = self.apps.get(app, 0) | c.action_mask(letters)
        self._because(f"{what} {app}", letters, name)

    def add_mutations(self, names: Sequence[str], what: str, name: str) -> None:
        """What GraphQL changes in the organisation."""
        self.mutations |= dict.fromkeys(names)
        self._because(what, "", name)

    def read_organization(self, what: str, name: str) -> None:
        """The organisation itself."""
        self.organization |= c.READ
        self._because(what, "r", name)

    def _because(self, what: str, letters: str, name: str) -> None:
        self.why.setdefault((what, letters), {})[name] = None


def needed(specs: Sequence[CredentialSpec]) -> Needed:
    """What these credentials need together."""
    found = Needed()
    for spec in specs:
        _add_issuer(found, spec)
        for target in spec.targets:
            if target.app is not None:
                _add_target(found, spec, target, target.app)
            elif spec.kind == OWN and isinstance(app := target.params.get("app"), str):
                found.add_app(app, "rw", "set secrets of the app", spec.name)
    return found


def _add_issuer(found: Needed, spec: CredentialSpec) -> None:
    own = spec.params.get("app")
    if spec.kind in _OF_AN_APP and isinstance(own, str):
        found.add_app(own, "r", "look up, and list the tokens of, the app", spec.name)
    if spec.kind in _OF_ALL:
        found.read_organization("list the organisation's tokens", spec.name)
    if spec.kind in _OF_AN_APP | _OF_ALL:
        found.add_mutations(_TOKENS, "make and revoke tokens", spec.name)
        named = spec.params.get("narrow.apps", ())
        for app in named if isinstance(named, tuple) else ():
            found.add_app(app, "r", "look up the app", spec.name)
    if spec.kind == "wireguard-peer":
        found.read_organization("list WireGuard peers", spec.name)
        found.features[WIREGUARD] = c.action_mask("rcd")
        found.add_mutations(_PEERS, "add, list and remove WireGuard peers", spec.name)


def _add_target(found: Needed, spec: CredentialSpec, target: TargetSpec, app: str) -> None:
    found.add_app(app, "rw", "set secrets of the app", spec.name)
    policy = target.rollout
    if policy.strategy is Strategy.NONE:
        return
    found.add_app(app, "rwC", "lease, update and restart machines of the app", spec.name)
    if policy.strategy is Strategy.BLUE_GREEN or policy.rehearsal is not None:
        found.add_app(app, "cd", "make and destroy machines of the app", spec.name)


def caveat_of(
    apps: Mapping[int, int],
    features: Mapping[str, int],
    mutations: Sequence[str],
    organization: int,
) -> c.Caveat:
    """All of it as one caveat: an access to an app, a feature or a mutation has to be listed, what
    is none of these is what may be done to the organisation itself."""
    inner = [
        c.apps(apps),
        c.caveat(c.FEATURE_SET, dict(features)),
        c.caveat(c.MUTATIONS, tuple(mutations)),
    ]
    return c.caveat(c.IF_PRESENT, inner, organization)


def permits(
    access: Access,
    apps: Mapping[int, int],
    features: Mapping[str, int],
    mutations: Sequence[str],
    organization: int,
) -> bool:
    """The same as a rule in plain words, for *prove*."""
    named: list[bool] = []
    if access.app is not None:
        named.append(not access.action & ~apps.get(access.app, 0))
    if access.feature is not None:
        named.append(not access.action & ~features.get(access.feature, 0))
    if access.mutation is not None:
        named.append(access.mutation in mutations)
    return all(named) if named else not access.action & ~organization


def letters_of(mask: int) -> str:
    """A mask of actions as letters."""
    return "".join(letter for place, letter in enumerate(c.ACTION_LETTERS) if mask & (1 << place))
