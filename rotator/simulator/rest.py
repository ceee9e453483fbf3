"""The table of the Machines API's routes."""

from __future__ import annotations

from starlette.routing import Route

from rotator.simulator import (
    addresses,
    rest_apps,
    rest_certificates,
    rest_leases,
    rest_machines,
    rest_releases,
    rest_wait,
)
from rotator.simulator.api import Handler, endpoint
from rotator.simulator.limits import GET_MACHINE, NORMAL, Rate
from rotator.simulator.world import World

_APP = "/apps/{app}"
_MACHINE = "/apps/{app}/machines/{machine}"

_ROUTES: tuple[tuple[str, str, Handler, Rate | None], ...] = (
    # First what is asked for most: routes are tried in order.
    ("GET", _MACHINE, rest_machines.get_machine, GET_MACHINE),
    ("POST", _MACHINE, rest_machines.update_machine, NORMAL),
    ("GET", f"{_MACHINE}/wait", rest_wait.wait_machine, NORMAL),
    ("POST", f"{_MACHINE}/lease", rest_leases.acquire_lease, NORMAL),
    ("DELETE", f"{_MACHINE}/lease", rest_leases.release_lease, NORMAL),
    ("GET", "/apps", rest_apps.list_apps, None),
    ("GET", _APP, rest_apps.get_app, NORMAL),
    ("GET", f"{_APP}/secrets", rest_apps.list_secrets, NORMAL),
    ("POST", f"{_APP}/secrets", rest_apps.write_secrets, NORMAL),
    ("GET", f"{_APP}/secrets/{{name}}", rest_apps.get_secret, NORMAL),
    ("POST", f"{_APP}/secrets/{{name}}", rest_apps.set_secret, NORMAL),
    ("DELETE", f"{_APP}/secrets/{{name}}", rest_apps.delete_secret, NORMAL),
    ("GET", f"{_APP}/certificates", rest_certificates.list_certificates, NORMAL),
    ("GET", f"{_APP}/certificates/{{hostname}}", rest_certificates.get_certificate, NORMAL),
    (
        "POST",
        f"{_APP}/certificates/{{hostname}}/check",
        rest_certificates.check_certificate,
        NORMAL,
    ),
    ("GET", f"{_APP}/machines", rest_machines.list_machines, NORMAL),
    ("POST", f"{_APP}/machines", rest_machines.create_machine, NORMAL),
    ("DELETE", _MACHINE, rest_machines.delete_machine, NORMAL),
    ("POST", f"{_MACHINE}/start", rest_machines.start_machine, NORMAL),
    ("POST", f"{_MACHINE}/stop", rest_machines.stop_machine, NORMAL),
    ("POST", f"{_MACHINE}/restart", rest_machines.restart_machine, NORMAL),
    ("POST", f"{_MACHINE}/suspend", rest_machines.suspend_machine, NORMAL),
    ("POST", f"{_MACHINE}/cordon", rest_machines.cordon_machine, NORMAL),
    ("POST", f"{_MACHINE}/uncordon", rest_machines.uncordon_machine, NORMAL),
    ("POST", f"{_MACHINE}/exec", rest_machines.exec_machine, NORMAL),
    ("GET", f"{_MACHINE}/lease", rest_leases.get_lease, NORMAL),
    ("GET", f"{_MACHINE}/events", rest_machines.list_events, NORMAL),
    ("GET", f"{_MACHINE}/ps", rest_machines.list_processes, NORMAL),
    ("GET", f"{_MACHINE}/versions", rest_machines.list_versions, NORMAL),
    ("GET", f"{_MACHINE}/metadata", rest_machines.get_metadata, NORMAL),
    ("PUT", f"{_MACHINE}/metadata", rest_machines.put_metadata, NORMAL),
    ("PATCH", f"{_MACHINE}/metadata", rest_machines.put_metadata, NORMAL),
    ("GET", f"{_MACHINE}/metadata/{{key}}", rest_machines.get_metadata_value, NORMAL),
    ("POST", f"{_MACHINE}/metadata/{{key}}", rest_machines.set_metadata_value, NORMAL),
    ("DELETE", f"{_MACHINE}/metadata/{{key}}", rest_machines.delete_metadata_value, NORMAL),
    ("GET", f"{_APP}/volumes", rest_apps.list_volumes, NORMAL),
    ("GET", f"{_APP}/ip_assignments", addresses.list_addresses, NORMAL),
    ("POST", f"{_APP}/ip_assignments", addresses.assign_address, NORMAL),
    ("DELETE", f"{_APP}/ip_assignments/{{ip}}", addresses.release_address, NORMAL),
    ("GET", "/orgs/{org}/machines", rest_apps.list_org_machines, NORMAL),
    ("GET", "/tokens/current", rest_apps.current_token, None),
    ("GET", "/platform/regions", rest_apps.regions, None),
)


_BESIDE_GRAPHQL: tuple[tuple[str, str, Handler, Rate | None], ...] = (
    ("GET", "/organizations", rest_apps.list_organizations, None),
    ("GET", "/organizations/{org}", rest_apps.get_organization, None),
    ("POST", "/releases", rest_releases.create_release, None),
    ("GET", "/releases/all_current", rest_releases.all_current, None),
    ("PATCH", "/releases/{release}", rest_releases.change_release, None),
    ("GET", f"{_APP}/releases", rest_releases.list_releases, NORMAL),
    ("GET", f"{_APP}/releases/current", rest_releases.current_release, NORMAL),
)


def routes(world: World) -> list[Route]:
    """Every route under /v1, and those of organizations and releases under /api/v1."""
    machines = [
        endpoint(world, method, path, handler, rate=rate) for method, path, handler, rate in _ROUTES
    ]
    beside = [
        endpoint(world, method, path, handler, rate=rate, prefix="/api/v1")
        for method, path, handler, rate in _BESIDE_GRAPHQL
    ]
    return [*machines, *beside]
