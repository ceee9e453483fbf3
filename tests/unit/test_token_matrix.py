"""Every kind of token, narrowed and bound, against every operation of the simulated Fly.

What a token may do is written here by hand, in words; what it is accepted for is asked of the
simulator, call by call. The table of calls is held against the simulator's own routes and
mutations, so that a new one can't be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from rotator.domain.fields import Params
from rotator.simulator import addresses, gql, rest
from rotator.simulator.model import Json
from rotator.simulator.tokens import SOURCE_HEADER
from tests.unit.token_support import Issuer, a_spec, an_issuer

READ_APP = """GET /apps/{app} · GET /apps/{app}/secrets · GET /apps/{app}/secrets/{name}
GET /apps/{app}/certificates · GET /apps/{app}/certificates/{hostname} · GET /apps/{app}/machines
GET /apps/{app}/machines/{machine} · GET /apps/{app}/machines/{machine}/wait
GET /apps/{app}/machines/{machine}/events · GET /apps/{app}/machines/{machine}/versions
GET /apps/{app}/machines/{machine}/metadata · GET /apps/{app}/machines/{machine}/metadata/{key}
GET /apps/{app}/machines/{machine}/ps · GET /apps/{app}/volumes · GET /apps/{app}/ip_assignments
GET /apps/{app}/releases · GET /apps/{app}/releases/current"""
WRITE_APP = """POST /apps/{app}/secrets · POST /apps/{app}/secrets/{name}
DELETE /apps/{app}/secrets/{name} · POST /apps/{app}/certificates/{hostname}/check
POST /apps/{app}/machines · POST /apps/{app}/machines/{machine}
PUT /apps/{app}/machines/{machine}/metadata · PATCH /apps/{app}/machines/{machine}/metadata
POST /apps/{app}/machines/{machine}/metadata/{key}
DELETE /apps/{app}/machines/{machine}/metadata/{key} · POST /releases · PATCH /releases/{release}
POST /apps/{app}/ip_assignments · DELETE /apps/{app}/ip_assignments/{ip}"""
CONTROL_APP = """DELETE /apps/{app}/machines/{machine} · POST /apps/{app}/machines/{machine}/start
POST /apps/{app}/machines/{machine}/stop · POST /apps/{app}/machines/{machine}/restart
POST /apps/{app}/machines/{machine}/suspend · POST /apps/{app}/machines/{machine}/cordon
POST /apps/{app}/machines/{machine}/uncordon · GET /apps/{app}/machines/{machine}/lease
POST /apps/{app}/machines/{machine}/lease · DELETE /apps/{app}/machines/{machine}/lease"""
EXEC = "POST /apps/{app}/machines/{machine}/exec"
READ_ORG = "GET /apps · GET /orgs/{org}/machines · GET /organizations/{org}"
# The last two show what the caller may see, so there is nothing to refuse.
ANYBODY = """GET /tokens/current · GET /platform/regions · GET /organizations
GET /releases/all_current"""
BESIDE_GRAPHQL = ("releases", "organizations")

LISTED, OTHER = ["uptime"], ["rm", "-rf", "/data"]
APPS = {"web": "web", "other": "api", "theirs": "theirs"}
ORGS = {"acme": "acme", "rival": "rival"}


@dataclass(frozen=True)
class Operation:
    """One call: what it is called in the table of rights, and how it is made."""

    right: str
    method: str
    path: str
    body: Json | None = None


def routes(text: str) -> list[tuple[str, str]]:
    pairs = (each.strip().split(" ") for line in text.splitlines() for each in line.split("·"))
    return [(method, path) for method, path in pairs]


def operations(issuer: Issuer) -> Iterator[Operation]:
    for word, app in APPS.items():
        yield from app_operations(issuer, word, app)
    for word, slug in ORGS.items():
        yield from organization_operations(issuer, word, slug)
    for method, path in routes(ANYBODY):
        yield Operation("anybody", method, prefix_of(path) + path)
    image = 'latestImageDetails(image: "x") { tag }'
    for name in ("viewer { __typename }", "platform { requestRegion }", image):
        yield graphql("anybody", f"query {{ {name} }}")
    yield graphql("anybody", "query { nearestRegion(wireguardGateway: true) { code } }")
    validate = "mutation { validateWireGuardPeers(input: {peerIps: []}) { validPeerIps } }"
    yield graphql("anybody", validate)


def prefix_of(path: str) -> str:
    return "/api/v1" if any(word in path for word in BESIDE_GRAPHQL) else "/v1"


def app_operations(issuer: Issuer, word: str, app: str) -> Iterator[Operation]:
    found = issuer.world.apps[app]
    names = {
        "app": app,
        "machine": next((m for m in found.machines if m), "00000000000000"),
        "name": "SESSION_KEY",
        "hostname": "web.example.com",
        "key": "role",
        "release": found.releases[-1].id,
        "ip": addresses.assign(found, "v6", issuer.world.now()).ip,
    }
    for right, text in (("read", READ_APP), ("write", WRITE_APP), ("control", CONTROL_APP)):
        for method, path in routes(text):
            body = body_of(app) if method in ("POST", "PUT", "PATCH") else None
            where = prefix_of(path) + path.format(**names)
            yield Operation(f"{right} {word}", method, where, body)
    path = "/v1" + EXEC.split(" ")[1].format(**names)
    yield Operation(f"run uptime in {word}", "POST", path, {"command": list[object](LISTED)})
    yield Operation(f"run rm in {word}", "POST", path, {"command": list[object](OTHER)})
    yield graphql(f"read {word}", f'query {{ app(name: "{app}") {{ id name }} }}')
    certificate = f'checkCertificate(input: {{appId: "{app}", hostname: "web.example.com"}})'
    yield graphql(
        f"check certificates of {word}", f"mutation {{ {certificate} {{ app {{ id }} }} }}"
    )
    yield graphql(
        f"log in to {word}",
        f'mutation {{ issueCertificate(input: {{organizationId: "{found.org.id}", '
        f'appNames: ["{app}"], publicKey: "none"}}) {{ certificate }} }}',
    )


def body_of(app: str) -> Json:
    """Enough of everything that the calls ask for."""
    return {
        "app_name": app,
        "type": "v4",
        "strategy": "ROLLING",
        "definition": {},
        "status": "complete",
        "values": {"SESSION_KEY": "x"},
        "value": "x",
        "metadata": {"role": "x"},
        "config": {"image": "registry/x"},
        "skip_launch": True,
    }


def organization_operations(issuer: Issuer, word: str, slug: str) -> Iterator[Operation]:
    org = issuer.world.organizations[slug]
    yield Operation(f"read {word}", "GET", f"/v1/apps?org_slug={slug}")
    yield Operation(f"read {word}", "GET", f"/v1/orgs/{slug}/machines")
    yield Operation(f"read {word}", "GET", f"/api/v1/organizations/{slug}")
    yield graphql(f"read {word}", f'query {{ apps(organizationId: "{org.id}") {{ totalCount }} }}')
    look = f'organization(slug: "{slug}")'
    lists = "{ apps { nodes { name } } limitedAccessTokens { nodes { name } } }"
    yield graphql(f"read {word}", f"query {{ {look} {lists} }}")
    yield graphql(f"read {word}", f"query {{ {look} {{ members {{ nodes {{ email }} }} }} }}")
    # Fly answers a list of peers only to whom may read the organisation that it hangs from.
    yield graphql(
        f"read peers of {word}", f"query {{ {look} {{ wireGuardPeers {{ nodes {{ name }} }} }} }}"
    )
    delegated = "{ delegatedWireGuardTokens { nodes { name } } }"
    yield graphql(f"read peers of {word}", f"query {{ {look} {delegated} }}")
    yield from people_operations(word, f'organizationId: "{org.id}"')
    given = f'organizationId: "{org.id}"'
    make = (
        f'createLimitedAccessToken(input: {{{given}, name: "x", profile: "deploy_organization"}})'
    )
    yield graphql(
        f"make tokens of {word}", f"mutation {{ {make} {{ limitedAccessToken {{ id }} }} }}"
    )
    token = next((each.id for each in issuer.world.tokens.values() if each.org is org), "")
    if token:
        yield graphql(
            f"revoke tokens of {word}",
            f'mutation {{ deleteLimitedAccessToken(input: {{id: "{token}"}}) {{ token }} }}',
        )
    peer = f'{given}, name: "x"'
    yield graphql(
        f"add peers to {word}",
        f'mutation {{ addWireGuardPeer(input: {{{peer}, pubkey: "none"}}) {{ peerip }} }}',
    )
    yield graphql(
        f"remove peers of {word}",
        f"mutation {{ removeWireGuardPeer(input: {{{peer}}}) {{ organization {{ id }} }} }}",
    )


def people_operations(word: str, given: str) -> Iterator[Operation]:
    for verb, mutation in (
        ("add peer tokens to", "createDelegatedWireGuardToken"),
        ("remove peer tokens of", "deleteDelegatedWireGuardToken"),
    ):
        call = f'{mutation}(input: {{{given}, name: "x"}})'
        yield graphql(f"{verb} {word}", f"mutation {{ {call} {{ token }} }}")
    leave = f'deleteOrganizationMembership(input: {{{given}, userId: "nobody"}})'
    yield graphql(f"remove members of {word}", f"mutation {{ {leave} {{ user {{ id }} }} }}")
    # Fly shows these to a person only.
    yield graphql("see personal tokens", "query { accessTokens(first: 1) { nodes { id } } }")


def graphql(right: str, query: str) -> Operation:
    return Operation(right, "POST", "/graphql", {"query": query})


def accepted(answer: httpx.Response) -> bool:
    """Whether Fly let the call through, whatever came of it then."""
    if answer.status_code in (401, 403):
        assert "error" in answer.json(), answer.text
        return False
    codes = [error.get("extensions", {}).get("code") for error in errors(answer)]
    return "UNAUTHORIZED" not in codes and not hidden(answer)


def errors(answer: httpx.Response) -> list[Json]:
    body = answer.json() if answer.content else {}
    found = body.get("errors", []) if isinstance(body, dict) else []
    return found if isinstance(found, list) else []


def hidden(answer: httpx.Response) -> bool:
    """An app that a token may not see does not exist for it."""
    places = (["app"], ["checkCertificate"])
    return any(e.get("path") in places and "find App" in str(e["message"]) for e in errors(answer))


def rights(*words: str) -> frozenset[str]:
    return frozenset(words) | {"anybody"}


READ_WEB = ("read web",)
RUN_WEB = ("run uptime in web", "run rm in web")
ALL_WEB = ("read web", "write web", "check certificates of web", "control web", *RUN_WEB)
LOGIN_WEB = ("log in to web",)
ALL_OTHER = tuple(each.replace("web", "other") for each in (*ALL_WEB, *LOGIN_WEB))
READ_ALL = ("read web", "read other", "read acme", "read peers of acme")
PEERS = ("add peers to acme", "remove peers of acme")
PEER_TOKENS = ("add peer tokens to acme", "remove peer tokens of acme")
TOKENS = ("make tokens of acme", "revoke tokens of acme")
MEMBERS = ("remove members of acme",)
ALL_ACME = (*PEERS, *PEER_TOKENS, *TOKENS, *MEMBERS)
ALL = (*ALL_WEB, *LOGIN_WEB, *ALL_OTHER, *READ_ALL, *ALL_ACME)

WEB: Params = {"app": "web"}
MATRIX: dict[str, tuple[str, Params, frozenset[str]]] = {
    "deploy": ("deploy-token", WEB, rights(*ALL_WEB, *LOGIN_WEB, *PEERS, *PEER_TOKENS)),
    "deploy, reading": ("deploy-token", {**WEB, "narrow.actions": "r"}, rights(*READ_WEB)),
    "deploy, reading and writing": (
        "deploy-token",
        {**WEB, "narrow.actions": "rw"},
        rights("read web", "write web", "check certificates of web"),
    ),
    "deploy, one command": (
        "deploy-token",
        {**WEB, "narrow.commands": ("uptime",)},
        rights("read web", "run uptime in web"),
    ),
    "deploy, one mutation": (
        "deploy-token",
        {**WEB, "narrow.mutations": ("addWireGuardPeer",)},
        rights("read web", "add peers to acme"),
    ),
    "deploy, one mutation and one command and control": (
        "deploy-token",
        {
            **WEB,
            "narrow.mutations": ("issueCertificate",),
            "narrow.commands": ("uptime",),
            "narrow.actions": "C",
        },
        rights("control web", "run uptime in web", *LOGIN_WEB),
    ),
    "deploy, bound elsewhere": ("deploy-token", {**WEB, "bind.app": "api"}, frozenset()),
    "org": ("org-token", {}, rights(*ALL)),
    "org, one app": ("org-token", {"narrow.apps": ("web",)}, rights(*ALL_WEB, *LOGIN_WEB)),
    "org, two apps, reading": (
        "org-token",
        {"narrow.apps": ("web", "api"), "narrow.actions": "r"},
        rights("read web", "read other"),
    ),
    "org, one mutation": (
        "org-token",
        {"narrow.mutations": ("createLimitedAccessToken",)},
        rights(*READ_ALL, "make tokens of acme"),
    ),
    "org, one mutation and one app": (
        "org-token",
        {"narrow.mutations": ("createLimitedAccessToken",), "narrow.apps": ("web",)},
        rights(*READ_WEB, "make tokens of acme"),
    ),
    "org, reading and control": (
        "org-token",
        {"narrow.actions": "rC"},
        rights(
            *READ_ALL,
            *(f"{what} {app}" for what in ("control",) for app in ("web", "other")),
            *(f"run {what} in {app}" for what in ("uptime", "rm") for app in ("web", "other")),
        ),
    ),
    "org, beginnings of commands": (
        "org-token",
        {"narrow.command_prefixes": ("rm -rf",), "narrow.apps": ("web",)},
        rights("read web", "run rm in web"),
    ),
    "readonly": ("readonly-token", {}, rights(*READ_ALL)),
    "readonly, one app": ("readonly-token", {"narrow.apps": ("web",)}, rights("read web")),
    "ssh": ("ssh-token", WEB, rights("read web", *LOGIN_WEB, "add peers to acme")),
    "machine-exec": (
        "machine-exec-token",
        WEB,
        rights("read web", "run uptime in web", "run rm in web"),
    ),
    "machine-exec, one command": (
        "machine-exec-token",
        {**WEB, "commands": ("uptime",)},
        rights("read web", "run uptime in web"),
    ),
    "machine-exec, a beginning": (
        "machine-exec-token",
        {**WEB, "command_prefixes": ("rm -rf",)},
        rights("read web", "run rm in web"),
    ),
    "wireguard": (
        "wireguard-token",
        {},
        rights("read acme", "read peers of acme", *PEERS, *PEER_TOKENS),
    ),
    "wireguard, one mutation": (
        "wireguard-token",
        {"narrow.mutations": ("addWireGuardPeer",)},
        rights("read acme", "read peers of acme", "add peers to acme"),
    ),
    "rotator's own, restarting one app": (
        "rotator-token",
        {
            "needs.apps": ("web=rwC", "api=r"),
            "needs.mutations": ("createLimitedAccessToken", "deleteLimitedAccessToken"),
            "needs.organization": "r",
        },
        rights(*ALL_WEB[:2], *ALL_WEB[3:], "read other", "read acme", *TOKENS),
    ),
    "rotator's own, peers only": (
        "rotator-token",
        {
            "needs.features": ("wg=rcd",),
            "needs.mutations": ("addWireGuardPeer", "removeWireGuardPeer"),
            "needs.organization": "r",
        },
        rights("read acme", "read peers of acme", *PEERS),
    ),
    "wireguard, reading": (
        "wireguard-token",
        {"narrow.actions": "r"},
        rights("read acme", "read peers of acme"),
    ),
}


@pytest.mark.parametrize("name", MATRIX)
async def test_a_token_is_accepted_for_exactly_its_rights(name: str) -> None:
    kind, params, expected = MATRIX[name]
    issuer = an_issuer()
    value = await issuer.delivered(a_spec(kind, params))
    await hold(issuer, value, expected)


@pytest.mark.parametrize(
    ("source", "works"),
    [
        (None, False),
        ("acme/web/0123456789abcd", True),
        ("acme/web/another", False),
        ("acme/api/0123456789abcd", False),
        ("rival/web/0123456789abcd", False),
    ],
)
async def test_a_bound_token_works_in_its_place_and_nowhere_else(
    source: str | None, works: bool
) -> None:
    issuer = an_issuer()
    bound: Params = {"bind.app": "web", "bind.machine": "0123456789abcd"}
    value = await issuer.delivered(a_spec("org-token", bound))
    await hold(issuer, value, rights(*ALL) if works else frozenset(), source=source)


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in MATRIX.values()}))
async def test_a_token_is_accepted_for_nothing_once_revoked_or_out_of_its_time(kind: str) -> None:
    issuer = an_issuer()
    spec = a_spec(kind, WEB if "app" in {f.name for f in issuer.kinds[kind].fields} else {})
    issued, value = await issuer.mint(spec)
    other = await issuer.delivered(spec)
    await issuer.kinds[kind].revoke(spec, issued)
    await hold(issuer, value.reveal(), frozenset())
    issuer.fly.pass_seconds(36 * 86_400)
    await hold(issuer, other, frozenset())


async def hold(
    issuer: Issuer, value: str, expected: frozenset[str], *, source: str | None = None
) -> None:
    client = issuer.fly.client_with(value)
    headers = {SOURCE_HEADER: source} if source else {}
    wrongly: list[str] = []
    seen: set[str] = set()
    for each in operations(issuer):
        seen.add(each.right)
        answer = await client.request(each.method, each.path, json=each.body, headers=headers)
        if accepted(answer) is not (each.right in expected):
            wrongly.append(f"{each.right}: {each.method} {each.path} -> {answer.status_code}")
    assert not wrongly, "\n".join(wrongly)
    assert expected <= seen, expected - seen


def test_no_operation_of_the_simulator_is_left_out() -> None:
    texts = (READ_APP, WRITE_APP, CONTROL_APP, EXEC, READ_ORG, ANYBODY)
    table = [pair for text in texts for pair in routes(text)]
    served = [(method, path) for method, path, _, _ in (*rest._ROUTES, *rest._BESIDE_GRAPHQL)]
    assert sorted(table) == sorted(served)
    issuer = an_issuer()
    bodies = " ".join(str(each.body) for each in operations(issuer) if each.path == "/graphql")
    schema = gql.schema()
    assert schema.mutation_type
    assert schema.query_type
    fields = [*schema.mutation_type.fields, *schema.query_type.fields]
    # Everybody may give up his own token, and sees of the organisations what he may see.
    assert [name for name in fields if f"{name}(" not in bodies and f" {name} " not in bodies] == [
        "logOut",
        "organizations",
    ]
