"""App secrets: values go in, digests come out, and every change moves the version."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from rotator.simulator.ids import rfc3339
from rotator.simulator.model import App, Json, Secret
from rotator.simulator.world import World


def write(world: World, app: App, values: Mapping[str, str | None], by: str = "") -> int:
    """Set values, delete those that are None, and return the app's version after it. `by` is whose
    doing it is.

    Deleting only names that don't exist changes nothing and returns the version that stands.
    """
    gone = [name for name, value in values.items() if value is None and name in app.secrets]
    new = {name: value for name, value in values.items() if value is not None}
    if not gone and not new:
        return app.secrets_version
    app.secrets_version += 1
    for name in gone:
        del app.secrets[name]
    for name, value in new.items():
        _set(world, app, name, value)
        app.secrets[name].user_email = by
    return app.secrets_version


def view(secret: Secret) -> Json:
    """What the API shows of a secret: never its value."""
    return {
        "name": secret.name,
        "digest": secret.digest,
        "created_at": rfc3339(secret.created_at),
        "updated_at": rfc3339(secret.updated_at),
    }


def digest_of(world: World, app: App, value: str) -> str:
    """The server's own digest of a value; meaningful only for comparison within one app."""
    message = app.name.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
    return hmac.digest(world.digest_key, message, "sha256").hex()[:32]


def _set(world: World, app: App, name: str, value: str) -> None:
    now = world.now()
    digest = digest_of(world, app, value)
    standing = app.secrets.get(name)
    if name in app.refuse_next and (standing is None or standing.value != value):
        app.refuse_next.discard(name)
        app.bad_digests.add(digest)
    if standing is None:
        app.secrets[name] = Secret(name, value, digest, now, now, app.secrets_version)
        return
    same = standing.value == value
    standing.value = value
    standing.digest = digest
    standing.version = app.secrets_version
    if not (same and world.switches.equal_value_keeps_digest_date):
        standing.updated_at = now
