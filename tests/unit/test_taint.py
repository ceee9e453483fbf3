"""What else is lost with a leaked credential, and in which order it is replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.domain.credential import Credential, CredentialMode, CredentialSpec
from rotator.domain.fields import Params
from rotator.domain.policy import Policy
from rotator.domain.ports import Reaching
from rotator.domain.rotation import Actor
from rotator.domain.taint import Reach, Taint, TaintState, next_wave, suspects
from tests.unit.builders import NOW, a_credential, a_target
from tests.unit.token_support import a_spec, an_issuer

KINDS = an_issuer().kinds


def a_thing(
    name: str, kind: str = "secret", *apps: str, params: Params | None = None, **more: object
) -> Credential:
    """A credential that is delivered to these apps."""
    targets = tuple(
        replace(a_target(app), key=f"fly-secret:{app}/{name.upper()}") for app in apps
    ) or (a_target(None),)
    spec = CredentialSpec(name, kind, "acme", name, params or {}, targets, Policy(), **more)  # type: ignore[arg-type]
    return replace(a_credential(), id=f"id of {name}", spec=spec)


def reach(credential: Credential) -> Reach:
    kind = KINDS[credential.spec.kind]
    return kind.reach(credential.spec) if isinstance(kind, Reaching) else Reach()


CI = a_thing("ci-web", "deploy-token", "runner", params={"app": "web"})
SESSION = a_thing("session", "secret", "web")
DATABASE = a_thing("database", "secret", "web", "api")
API_TOKEN = a_thing("ci-api", "deploy-token", "web", params={"app": "api"})
SIGNING = a_thing("signing", "secret", "api")
ROLE = a_thing("role", "secret", derived_from=("signing",))
OTHER = a_thing("other", "secret", "jobs")
ALL = [OTHER, ROLE, SIGNING, API_TOKEN, DATABASE, SESSION, CI]


def waves(leaked: Credential, known: list[Credential] | None = None) -> list[tuple[int, str]]:
    return [(each.wave, each.credential.name) for each in suspects(leaked, known or ALL, reach)]


def test_a_token_takes_the_secrets_of_its_app_with_it_and_what_they_open() -> None:
    assert waves(CI) == [
        (0, "ci-web"),
        (1, "ci-api"),
        (1, "database"),
        (1, "session"),
        (2, "signing"),
        (3, "role"),
    ]
    found = {each.credential.name: each.because for each in suspects(CI, ALL, reach)}
    assert found["session"] == "whoever holds ci-web can read fly-secret:web/SESSION"
    assert found["role"] == "it comes from signing (derived_from)"


def test_a_plain_secret_takes_only_what_is_declared_with_it() -> None:
    assert waves(SESSION) == [(0, "session")]
    assert waves(SIGNING) == [(0, "signing"), (1, "role")]


def test_circles_end_and_what_is_observed_is_named_but_left_out() -> None:
    one = a_thing("one", derived_from=("two",))
    two = a_thing("two", derived_from=("one",))
    two = replace(two, spec=replace(two.spec, mode=CredentialMode.OBSERVE))
    found = suspects(one, [one, two], reach)
    assert [(each.wave, each.obstacle) for each in found] == [(0, None), (1, "it is only observed")]


def test_another_organisation_is_out_of_reach() -> None:
    theirs = replace(SESSION, spec=replace(SESSION.spec, organization="rival"))
    everything = a_thing("all", "org-token")
    assert waves(everything, [everything, theirs, DATABASE]) == [(0, "all"), (1, "database")]


@pytest.mark.parametrize(
    ("kind", "params", "reached"),
    [
        ("deploy-token", {"app": "web"}, Reach(frozenset({"web"}))),
        ("deploy-token", {"app": "web", "narrow.actions": "r"}, Reach()),
        (
            "deploy-token",
            {"app": "web", "narrow.actions": "r", "narrow.commands": ("env",)},
            Reach(frozenset({"web"})),
        ),
        ("org-token", {}, Reach(every_app=True)),
        ("org-token", {"narrow.apps": ("web", "api")}, Reach(frozenset({"web", "api"}))),
        ("org-token", {"narrow.mutations": ("addWireGuardPeer",)}, Reach()),
        ("org-token", {"narrow.mutations": ("issueCertificate",)}, Reach(every_app=True)),
        ("readonly-token", {}, Reach()),
        ("wireguard-token", {}, Reach()),
        ("ssh-token", {"app": "web"}, Reach(frozenset({"web"}))),
        ("machine-exec-token", {"app": "web", "commands": ("ls",)}, Reach(frozenset({"web"}))),
    ],
)
def test_each_kind_reaches_what_its_holder_could_read(
    kind: str, params: Params, reached: Reach
) -> None:
    spec = a_spec(kind, params)
    it = KINDS[kind]
    assert isinstance(it, Reaching)
    assert it.reach(spec) == reached


def a_row(name: str, wave: int, state: TaintState, rotation: str | None = None) -> Taint:
    actor = Actor("user", "ann")
    return Taint("taint", name, wave, wave, "", state, rotation, actor, "", NOW)


def test_a_wave_begins_only_when_everything_above_it_is_replaced() -> None:
    asked = a_row("a", 0, TaintState.ASKED, "ra")
    one, two = a_row("b", 1, TaintState.WAITING), a_row("c", 1, TaintState.WAITING)
    left = a_row("d", 1, TaintState.LEFT_OUT)
    last = a_row("e", 2, TaintState.WAITING)
    rows = [asked, one, two, left, last]
    assert next_wave(rows, {"ra": False}) == ([], [])
    assert next_wave(rows, {"ra": True}) == ([asked], [one, two])
    done = replace(asked, state=TaintState.DONE)
    busy = replace(one, state=TaintState.ASKED, rotation_id="rb")
    assert next_wave([done, busy, two, left, last], {}) == ([], [two])
    finished = [replace(each, state=TaintState.DONE) for each in (asked, one, two)]
    assert next_wave([*finished, left, last], {}) == ([], [last])
