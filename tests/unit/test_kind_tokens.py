"""Kinds of tokens: narrowed before they are sealed, held to the manifest, bound on delivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.domain.credential import CredentialSpec, Issued, TargetSpec
from rotator.domain.errors import NeedsHuman, NotYet, Refused
from rotator.domain.fields import Params
from rotator.domain.policy import Policy
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.access import actions
from rotator.fly.bundle import read_bundle
from rotator.kinds.limited_token import LimitedTokenKind
from rotator.kinds.narrowing import Narrow
from rotator.kinds.registry import builtin_kinds
from rotator.kinds.token_scope import Policy as ScopePolicy
from rotator.kinds.token_scope import probes
from rotator.simulator import tokens
from tests.unit.test_token_matrix import MATRIX
from tests.unit.token_support import Issuer, a_spec, an_issuer, renamed, wrong

WEB: Params = {"app": "web"}
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def permissions(value: Secret) -> tuple[m.Macaroon, ...]:
    return read_bundle(value.reveal()).permissions


def rebuilt(value: Secret, change: Callable[[m.Macaroon], m.Macaroon]) -> Secret:
    bundle = read_bundle(value.reveal())
    return Secret(m.header_of([*map(change, bundle.permissions), *bundle.discharges]))


@pytest.mark.parametrize("name", MATRIX)
async def test_a_new_token_is_proven_by_reading_and_by_using_it(name: str) -> None:
    kind, params, expected = MATRIX[name]
    issuer = an_issuer()
    spec = a_spec(kind, params)
    issued, value = await issuer.mint(spec)
    evidence = await issuer.kinds[kind].prove(spec, issued, value)
    assert evidence.detail["nonce"] == str(m.nonce_uuid(permissions(value)[0]))
    assert evidence.detail["tried"].startswith("GET /v1/tokens/current")
    reads = {"read web", "read acme"} & expected
    assert ("GET /v1/apps" in evidence.detail["tried"]) is bool(reads or "bind.app" in params)
    assert await issuer.kinds[kind].locate(issuer.request(spec))


@pytest.mark.parametrize("name", MATRIX)
async def test_the_wide_token_is_never_sealed(name: str) -> None:
    kind, params, _ = MATRIX[name]
    issuer = an_issuer()
    issued, value = await issuer.mint(a_spec(kind, params))
    made = issuer.world.tokens[issued.ref].macaroon
    narrow = {key for key in params if key.startswith("narrow.")}
    plain = kind in ("deploy-token", "org-token") and not narrow
    assert (made in permissions(value)) is plain
    assert all(m.derived(token, made) for token in permissions(value))


@pytest.mark.parametrize("name", MATRIX)
async def test_the_issuers_id_revokes_what_was_narrowed(name: str) -> None:
    kind, params, _ = MATRIX[name]
    issuer = an_issuer()
    spec = a_spec(kind, params)
    issued, value = await issuer.mint(spec)
    with pytest.raises(NotYet):
        await issuer.kinds[kind].disprove(spec, issued, value)
    await issuer.kinds[kind].revoke(spec, issued)
    evidence = await issuer.kinds[kind].disprove(spec, issued, value)
    assert "refuses" in evidence.statement
    assert await issuer.kinds[kind].locate(issuer.request(spec)) == []


async def test_a_token_whose_answer_was_lost_before_it_was_narrowed_is_found_and_revoked() -> None:
    issuer = an_issuer()
    spec = a_spec("readonly-token", {})
    kind = issuer.kinds["readonly-token"]
    org = issuer.world.organizations["acme"]
    made = await issuer.fly.create_token(
        kind.issue_name(spec, "01JD9ZQ4T0000000000000000A"), organizationId=org.id
    )
    (found,) = await kind.locate(issuer.request(spec))
    assert found.ref == made["id"]
    await kind.revoke(spec, found)
    assert await kind.locate(issuer.request(spec)) == []
    assert issuer.world.tokens[found.ref].revoked_at


async def test_a_bound_token_is_sealed_unbound_and_delivered_bound_by_what_it_was_made_with() -> (
    None
):
    issuer = an_issuer()
    spec = a_spec("deploy-token", {**WEB, "bind.app": "web"})
    kind = issuer.kinds["deploy-token"]
    issued, value = await issuer.mint(spec)
    delivered = kind.render(spec, issued, value)
    assert [each.name for each in permissions(delivered)[0].caveats[-1:]] == ["FlySrc"]
    assert permissions(value)[0].caveats == permissions(delivered)[0].caveats[:-1]
    assert read_bundle(delivered.reveal()).discharges
    changed = renamed(spec, {**WEB, "bind.app": "api"})
    assert kind.render(changed, issued, value) == delivered
    assert kind.render(spec, issued, value) == delivered


async def test_a_bound_token_that_is_delivered_unbound_is_refused() -> None:
    issuer = an_issuer()
    issued, value = await issuer.mint(a_spec("deploy-token", WEB))
    spec = a_spec("deploy-token", {**WEB, "bind.app": "web"})
    with pytest.raises(Refused, match="works from elsewhere than acme/web"):
        await issuer.kinds["deploy-token"].prove(spec, issued, value)


NARROWED = [name for name in MATRIX if name not in ("deploy", "deploy, bound elsewhere", "org")]


@pytest.mark.parametrize("name", NARROWED)
async def test_a_token_that_was_not_narrowed_is_refused(name: str) -> None:
    """As if Fly, or a bug, had given the whole token: the caveats are worked out, not trusted."""
    kind, params, _ = MATRIX[name]
    issuer = an_issuer()
    spec = a_spec(kind, params)
    issued, value = await issuer.mint(spec)
    wide = issuer.world.tokens[issued.ref]
    copies = [wide.macaroon] * len(permissions(value))
    whole = Secret(m.header_of([*copies, *wide.discharges]))
    with pytest.raises(Refused, match=r"more than the manifest allows"):
        await issuer.kinds[kind].prove(spec, issued, whole)


async def swapped(issuer: Issuer, change: Callable[[Issued, Secret], Secret]) -> str:
    """What is told of a value that is not the one that was asked for."""
    spec = a_spec("machine-exec-token", WEB)
    issued, value = await issuer.mint(spec)
    with pytest.raises((Refused, NeedsHuman)) as refused:
        await issuer.kinds["machine-exec-token"].prove(spec, issued, change(issued, value))
    return str(refused.value)


def forged(issuer: Issuer, *caveats: c.Caveat) -> Secret:
    world = issuer.world
    return Secret(m.header_of([m.mint(world.root_key, world.key_id, bytes(16), caveats=caveats)]))


async def test_what_is_wrong_with_a_new_token_is_said_by_name() -> None:
    issuer = an_issuer()
    org, rival = (issuer.world.organizations[slug].number for slug in ("acme", "rival"))
    web, api = (c.apps({issuer.world.apps[name].number: 31}) for name in ("web", "api"))
    both = c.apps({issuer.world.apps[name].number: 31 for name in ("web", "api")})
    now = issuer.fly.clock.now()
    window = c.validity_window(now, now + timedelta(days=35))
    exec_ = c.caveat(c.IF_PRESENT, [c.caveat(c.COMMANDS, [[[], False]])], c.READ)

    async def told(*listed: c.Caveat) -> str:
        return await swapped(issuer, lambda *_: forged(issuer, *listed))

    good = (c.organization(org), web, window, exec_)
    assert "not limited to the organisation" in await told(
        c.organization(rival), web, window, exec_
    )
    assert "not limited to the organisation" in await told(web, window, exec_)
    assert "not limited to the organisation" in await told(c.organization(0), web, window, exec_)
    assert "another app" in await told(c.organization(org), both, window, exec_)
    assert "another app" in await told(c.organization(org), api, window, exec_)
    assert "may write the app" in await told(c.organization(org), web, window)
    assert "live longer" in await told(c.organization(org), web, exec_)
    longer = c.validity_window(now, now + timedelta(days=36))
    assert "live longer" in await told(c.organization(org), web, longer, exec_)
    shorter = c.validity_window(now, now + timedelta(days=34))
    assert "before the rotation" in await told(*good, shorter)
    login = c.caveat(c.THIRD_PARTY, "https://auth.fly.io", b"k", b"t")
    assert "auth.fly.io, which did not come with it" in await told(*good, login)
    assert "2 permission tokens, not 1" in await swapped(
        issuer, lambda _, value: Secret(f"{value.reveal()},{forged(issuer, *good).reveal()[6:]}")
    )
    assert "can't be read" in await swapped(issuer, lambda *_: Secret("FlyV1 fm2_lJPE"))
    assert "Fly does not accept" in await told(*good, c.caveat(c.ACTION, 0), *_stale(now))


def _stale(now: datetime) -> tuple[c.Caveat, ...]:
    """Not yet valid: right by its caveats as they are read, refused when it is used."""
    return (c.validity_window(now + timedelta(days=1), now + timedelta(days=35)),)


async def test_a_discharge_that_ends_early_ends_the_token_early() -> None:
    issuer = an_issuer()
    spec = a_spec("org-token", {})
    issued, value = await issuer.mint(spec)
    (own,) = permissions(value)
    (word,) = read_bundle(value.reveal()).discharges
    soon = c.validity_window(issuer.fly.clock.now(), issuer.fly.clock.now() + timedelta(days=3))
    short = m.mint(bytes(32), word.nonce.kid, bytes(16), word.location, [soon], proof=True)
    with pytest.raises(Refused, match="before the rotation that is to replace it"):
        await issuer.kinds["org-token"].prove(spec, issued, Secret(m.header_of([own, short])))


async def test_a_token_without_a_login_caveat_is_as_good() -> None:
    issuer = an_issuer()
    issuer.world.switches.tokens_have_discharges = False
    issuer.world.switches.deploy_tokens_have_features = False
    spec = a_spec("deploy-token", WEB)
    issued, value = await issuer.mint(spec)
    assert await issuer.kinds["deploy-token"].prove(spec, issued, value)


async def test_an_ssh_token_of_a_kind_of_fly_without_features_is_proven_too() -> None:
    issuer = an_issuer()
    issuer.world.switches.deploy_tokens_have_features = False
    spec = a_spec("ssh-token", WEB)
    issued, value = await issuer.mint(spec)
    assert await issuer.kinds["ssh-token"].prove(spec, issued, value)


async def test_a_manifest_that_became_stricter_meanwhile_refuses_what_was_made_before() -> None:
    issuer = an_issuer()
    issued, value = await issuer.mint(a_spec("org-token", {}))
    for params in ({"narrow.actions": "r"}, {"narrow.apps": ("web",)}):
        with pytest.raises(Refused):
            await issuer.kinds["org-token"].prove(a_spec("org-token", params), issued, value)


async def test_until_ends_a_token_and_then_nothing_is_made() -> None:
    issuer = an_issuer()
    until = issuer.fly.clock.now() + timedelta(days=7)
    spec = a_spec("org-token", {"narrow.until": until.isoformat()})
    issued, value = await issuer.mint(spec)
    assert issued.expires_at == until
    assert m.expires_at(permissions(value)[0]) == until
    assert await issuer.kinds["org-token"].prove(spec, issued, value)
    issuer.fly.pass_seconds(8 * 86_400)
    with pytest.raises(NeedsHuman, match="has passed"):
        await issuer.mint(spec)
    assert len([t for t in issuer.world.tokens.values() if t.name.startswith("ci-0")]) == 1


async def test_an_app_of_another_organisation_is_told_before_anything_is_made() -> None:
    issuer = an_issuer()
    both = (c.organization(0), c.validity_window(issuer.fly.clock.now(), LATER))
    issuer.client = issuer.client_with(forged(issuer, *both))
    issuer.kinds = builtin_kinds(issuer.client, issuer.fly.clock)
    before = len(issuer.world.tokens)
    with pytest.raises(NeedsHuman, match="theirs is not in the organisation acme"):
        await issuer.mint(a_spec("org-token", {"narrow.apps": ("theirs",)}))
    assert len(issuer.world.tokens) == before


async def test_kinds_of_one_profile_share_their_places_because_fly_can_not_tell_them_apart() -> (
    None
):
    issuer = an_issuer()
    places = {name: kind.place("ci", "acme", WEB) for name, kind in issuer.kinds.items()}
    of_app = {places[name] for name in ("deploy-token", "ssh-token", "machine-exec-token")}
    of_org = {places[name] for name in ("org-token", "readonly-token", "wireguard-token")}
    assert (of_app, of_org) == ({"deploy-token:web/ci"}, {"org-token:acme/ci"})
    made = await issuer.fly.create_token("ci")
    assert [i.ref for i in await issuer.kinds["org-token"].holdings(a_spec("org-token", {}))] == [
        made["id"]
    ]
    web = await issuer.kinds["deploy-token"].holdings(
        renamed(a_spec("deploy-token", {}), {"app": "web", "token_name": "ci-web"})
    )
    assert len(web) == 1
    both = a_spec("org-token", {"token_name": "ci-web"})
    assert await issuer.kinds["org-token"].holdings(both) == []


def test_every_kind_says_what_it_calls() -> None:
    issuer = an_issuer()
    for name, (kind, params, _) in MATRIX.items():
        calls = issuer.kinds[kind].calls(a_spec(kind, params))
        assert "mutation createLimitedAccessToken" in calls["mint"], name
        assert all(calls[step] for step in ("mint", "prove", "retire"))


NUMBERS = {"web": 7, "api": 8}
narrows = st.builds(
    Narrow,
    apps=st.sampled_from([(), ("web",), ("web", "api")]),
    actions=st.none() | st.integers(1, 31),
    mutations=st.sampled_from([(), ("addWireGuardPeer",), ("deleteApp", "setSecrets")]),
    commands=st.sampled_from(
        [(), ((("uptime",), True),), ((("ls",), False), (("df", "-h"), True))]
    ),
)


@settings(max_examples=60, deadline=None)
@given(narrows)
def test_caveats_leave_exactly_what_the_words_say(narrow: Narrow) -> None:
    """The caveats and the rule in plain words are written separately; they agree on everything."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    listed = (c.organization(1), *narrow.caveats(NUMBERS, begin, begin + timedelta(days=1)))
    policy = ScopePolicy(
        1, (7, 8), lambda _: True, 1, None, begin, begin, narrow.mutations, narrow.commands
    )
    for probe in probes(policy):
        expected = sum(
            bit for bit in (1, 2, 4, 8, 16) if narrow.permits(NUMBERS, replace(probe, action=bit))
        )
        assert actions(listed, probe) == expected, probe


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "org-token"\nnarrow = "r"\n', "rotator.toml:6: credentials.ci.narrow: a table"),
        ('kind = "org-token"\nnarrow = {}\n', "is empty; for example: narrow = { apps = "),
        (
            'kind = "org-token"\nnarrow = { action = "r" }\n',
            "narrow.action: is not known here; did",
        ),
        (
            'kind = "org-token"\nnarrow = { actions = "rx" }\n',
            "narrow.actions: 'rx' is not made of",
        ),
        ('kind = "org-token"\nnarrow = { actions = "" }\n', "'' is not made of the letters r"),
        ('kind = "org-token"\nnarrow = { actions = ["r"] }\n', "a text is wanted, not a list"),
        ('kind = "org-token"\nnarrow = { apps = [] }\n', "narrow.apps: is empty: name what is to"),
        ('kind = "org-token"\nnarrow = { apps = ["Web"] }\n', "'Web' is not an app name"),
        ('kind = "org-token"\nnarrow = { apps = ["a", "a"] }\n', "names 'a' twice"),
        (
            'kind = "org-token"\nnarrow = { mutations = ["add peer"] }\n',
            "not the name of a GraphQL",
        ),
        ('kind = "org-token"\nnarrow = { commands = ["ls \'x"] }\n', "a quote that does not end"),
        ('kind = "org-token"\nnarrow = { until = "soon" }\n', "'soon' is not a date"),
        ('kind = "org-token"\nnarrow = { until = "2027-01-01T10:00" }\n', "with its offset"),
        ('kind = "org-token"\nnarrow = { window = "0s" }\n', "is no time at all"),
        ('kind = "org-token"\nnarrow = { window = "7d" }\n', "a token has to live 34d"),
        ('kind = "org-token"\nbind = { machine = "0123456789abcd" }\n', "bind.app: is missing"),
        ('kind = "org-token"\nbind = { app = "web", machine = "x" }\n', "is not a machine id"),
        (
            'kind = "org-token"\nbind = { app = "api" }\n',
            "delivered to fly-secret:web/TOKEN, where",
        ),
        ('kind = "deploy-token"\napp = "web"\nnarrow = { apps = ["web"] }\n', "apps: is not known"),
        (
            'kind = "ssh-token"\napp = "web"\nnarrow = { actions = "r" }\n',
            "known are until, window",
        ),
        ('kind = "machine-exec-token"\napp = "web"\ncommands = [""]\n', "an empty command is none"),
        ('kind = "wireguard-token"\napp = "web"\n', "credentials.ci.app: is not known here"),
    ],
)
def test_a_bad_narrow_or_bind_is_told_with_its_place(text: str, told: str) -> None:
    found = wrong(text + TARGET)
    assert told in found, found
    assert found.startswith("rotator.toml:")


TARGET = 'targets = [ { type = "fly-secret", app = "web", name = "TOKEN" } ]\n'


def test_a_good_narrow_and_bind_are_taken() -> None:
    text = (
        'kind = "org-token"\nnarrow = { apps = ["web"], actions = "rw", until = "2027-01-01", '
        'window = "40d" }\nbind = { app = "web" }\n'
    )
    assert wrong(text + TARGET) == ""


def a_bound(app: str, target: str | None) -> CredentialSpec:
    place = TargetSpec("fly-secret", f"fly-secret:{target}/X", {}, target)
    return a_spec("org-token", {"bind.app": app}, targets=(place,))


def test_a_bind_fits_targets_that_no_app_reads() -> None:
    kind = an_issuer().kinds["org-token"]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert kind.fits(a_bound("web", None), now) is None
    assert kind.fits(a_bound("web", "web"), now) is None
    assert "deliver it to web or bind it to api" in str(kind.fits(a_bound("web", "api"), now))


def test_a_window_holds_the_policy_to_it() -> None:
    kind = an_issuer().kinds["org-token"]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    spec = a_spec("org-token", {"narrow.window": "40d"})
    assert kind.fits(spec, now) is None
    assert kind.fits(replace(spec, policy=Policy(every=timedelta(days=60))), now)


def test_all_kinds_of_tokens_are_one_base() -> None:
    kinds = [kind for kind in an_issuer().kinds.values() if kind.name.endswith("-token")]
    assert len(kinds) == 7
    assert all(isinstance(kind, LimitedTokenKind) for kind in kinds)
    assert {kind.profile for kind in kinds if isinstance(kind, LimitedTokenKind)} <= tokens.PROFILES
