"""The paths of calls, the one place that puts names into them: nothing in a name can leave its
segment."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import quote

from rotator.domain.errors import InputError
from rotator.domain.names import host_name

LONGEST_SEGMENT: Final = 512


def app_path(app: str, tail: str = "") -> str:
    """An app at the Machines API, or what lies below it: `tail` is ours, without names in it."""
    return f"/v1/apps/{segment(app)}" + (f"/{tail}" if tail else "")


def machine_path(app: str, machine_id: str, tail: str = "") -> str:
    """A machine, or what lies below it."""
    return app_path(app, f"machines/{segment(machine_id)}") + (f"/{tail}" if tail else "")


def certificate_path(app: str, hostname: str, tail: str = "") -> str:
    """A certificate by its host name. Fly: `*` is written %2A."""
    return app_path(app, f"certificates/{host_segment(hostname)}") + (f"/{tail}" if tail else "")


def releases_path(app: str) -> str:
    """An app's releases, at the REST beside GraphQL."""
    return f"/api/v1/apps/{segment(app)}/releases"


def release_path(release_id: str) -> str:
    """One release there."""
    return f"/api/v1/releases/{segment(release_id)}"


def host_segment(hostname: str) -> str:
    """A host name as a segment; one that is none is quoted as it stands, for Fly to refuse."""
    try:
        return segment(host_name(hostname))
    except ValueError:
        return segment(hostname)


@lru_cache(maxsize=4096)
def segment(name: str) -> str:
    """A name as one segment of a path.

    Raises:
        InputError: it is empty, too long, or means the path itself or the one above.
    """
    if name in {"", ".", ".."} or len(name) > LONGEST_SEGMENT:
        raise InputError(f"{name[:20]!r} can't be a name in an address of Fly's API")
    # Python leaves the tilde and dashes; everything else that means something becomes %XX.
    return quote(name, safe="", errors="replace")
