"""The Machines API: apps, secrets, organizations' machines, tokens and regions."""

from __future__ import annotations

from starlette.responses import Response

from rotator.fly import macaroon
from rotator.fly.access import Access
from rotator.fly.macaroon import READ, WRITE
from rotator.simulator import app_secrets, tokens
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import GONE_STATES, REGIONS, App, Json, Machine, Organization
from rotator.simulator.views import app_view

PAGE_OF_MACHINES = 1000


async def list_apps(call: Call) -> Response:
    """GET apps of an organization; for a token that may see the organization itself."""
    slug = call.query("org_slug")
    if not slug:
        raise ApiError(400, "invalid_argument: org_slug is required")
    org = _organization(call, slug)
    found = [app_view(app) for app in call.world.apps.values() if app.org is org]
    return ok({"total_apps": len(found), "apps": found})


async def get_app(call: Call) -> Response:
    """GET one app."""
    return ok(app_view(call.app()))


async def list_org_machines(call: Call) -> Response:
    """GET every machine of an organization, in pages."""
    org = _organization(call, call.path("org"))
    limit = min(whole_number(call.query("limit", "100"), "limit"), PAGE_OF_MACHINES)
    begin = whole_number(call.query("cursor", "0"), "cursor")
    every = [
        machine
        for app in call.world.apps.values()
        if app.org is org
        for machine in app.machines.values()
        if call.flag("include_deleted") or machine.state not in GONE_STATES
    ]
    page = every[begin : begin + limit]
    answer: Json = {
        "machines": [_org_machine(machine) for machine in page],
        "next_cursor": str(begin + limit) if begin + limit < len(every) else "",
        "error_regions": [],
    }
    if page:
        answer["last_machine_id"] = page[-1].id
        answer["last_updated_at"] = rfc3339(page[-1].updated_at)
    return ok(answer)


async def list_secrets(call: Call) -> Response:
    """GET secrets: names, digests and dates; never a version of the app and never a value."""
    app = _at_least(call, call.app())
    return ok({"secrets": [app_secrets.view(secret) for secret in app.secrets.values()]})


async def get_secret(call: Call) -> Response:
    """GET one secret."""
    app = _at_least(call, call.app())
    secret = app.secrets.get(call.path("name"))
    if secret is None:
        raise ApiError(404, "secret not found")
    return ok(app_secrets.view(secret))


async def write_secrets(call: Call) -> Response:
    """POST several secrets at once; null deletes."""
    app = call.app(WRITE)
    values = call.body.get("values")
    if not isinstance(values, dict) or not all(
        isinstance(name, str) and (value is None or isinstance(value, str))
        for name, value in values.items()
    ):
        raise ApiError(400, "invalid_argument: values must map names to text or null")
    version = app_secrets.write(call.world, app, values, _writer(call))
    shown = [app_secrets.view(app.secrets[name]) for name in values if name in app.secrets]
    return ok({"secrets": shown, "version": version, "Version": version})


async def set_secret(call: Call) -> Response:
    """POST one secret."""
    app = call.app(WRITE)
    value = call.body.get("value")
    if not isinstance(value, str):
        raise ApiError(400, "invalid_argument: value is required")
    name = call.path("name")
    version = app_secrets.write(call.world, app, {name: value}, _writer(call))
    view = app_secrets.view(app.secrets[name])
    return ok({**view, "version": version, "Version": version}, 201)


async def delete_secret(call: Call) -> Response:
    """DELETE one secret; an unknown name is no error."""
    version = app_secrets.write(call.world, call.app(WRITE), {call.path("name"): None})
    return ok({"version": version, "Version": version})


def _writer(call: Call) -> str:
    """The person behind the caller's token, as far as its record tells."""
    record = tokens.find(call.world, call.principal.tokens[0])
    return record.user_email if record is not None else ""


async def current_token(call: Call) -> Response:
    """GET what the caller's own tokens are; any genuine token may ask."""
    return ok({"tokens": [_token_info(call, token) for token in call.principal.tokens]})


async def list_volumes(call: Call) -> Response:
    """GET volumes: no app here has one."""
    call.app()
    return ok([])


async def list_organizations(call: Call) -> Response:
    """GET the organizations that the caller may see."""
    seen = [
        organization_view(org)
        for org in call.world.organizations.values()
        if call.principal.may(Access(org.number, READ))
    ]
    return ok({"organizations": seen})


async def get_organization(call: Call) -> Response:
    """GET one organization."""
    return ok({"organization": organization_view(_organization(call, call.path("org")))})


def organization_view(org: Organization) -> Json:
    """An organization, as flyctl's "ui-ex" has it."""
    return {
        "id": org.id,
        "internal_numeric_id": org.number,
        "slug": org.slug,
        "raw_slug": org.slug,
        "name": org.name,
        "paid_plan": True,
        "personal": False,
        "billable": True,
        "billing_status": "CURRENT",
        "provisions_beta_extensions": False,
        "remote_builder_image": "",
    }


async def regions(call: Call) -> Response:
    """GET the regions."""
    rows = [
        {
            "code": region.code,
            "name": region.name,
            "latitude": region.latitude,
            "longitude": region.longitude,
            "gateway_available": region.gateway,
            "requires_paid_plan": False,
            "deprecated": False,
            "geo_region": region.geo_region,
        }
        for region in REGIONS
    ]
    _ = call
    return ok({"nearest": REGIONS[0].code, "regions": rows})


def _organization(call: Call, slug: str) -> Organization:
    org = call.world.organization(slug)
    if not call.principal.may(Access(org.number, READ)):
        raise ApiError(403, "unauthorized: the token does not allow this on the organization")
    return org


def _at_least(call: Call, app: App) -> App:
    wanted = call.query("min_version") or call.query("version")
    if wanted and whole_number(wanted, "min_version") > app.secrets_version:
        raise ApiError(408, f"deadline_exceeded: secrets version {wanted} is not here yet")
    return app


def _org_machine(machine: Machine) -> Json:
    kept = ("guest", "image")
    slim: Json = {key: machine.config[key] for key in kept if key in machine.config}
    return {
        "id": machine.id,
        "name": machine.name,
        "app_name": machine.app.name,
        "state": machine.state,
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": machine.private_ip,
        "created_at": rfc3339(machine.created_at),
        "updated_at": rfc3339(machine.updated_at),
        "config": slim | {"metadata": machine.config.get("metadata") or {}},
    }


def _token_info(call: Call, token: macaroon.Macaroon) -> Json:
    organizations = macaroon.organization_ids(token)
    org = next((o for o in call.world.organizations.values() if o.number in organizations), None)
    info: Json = {"token_id": str(macaroon.nonce_uuid(token))}
    if org is not None:
        info.update(org_slug=org.slug, organization=org.name)
    numbers = macaroon.app_ids(token)
    if numbers is not None:
        info["apps"] = [app.name for app in call.world.apps.values() if app.number in numbers]
    return info
