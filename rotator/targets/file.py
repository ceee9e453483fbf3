"""Values in files on the machine that rotator runs on: wg-quick files, credentials of daemons."""

# ruff: noqa: ARG002 - the Target protocol passes more than this target needs
from __future__ import annotations

import asyncio
import grp
import os
import pwd
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, TypeVar

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import Drift, NeedsHuman, OutcomeUnknown, Unavailable
from rotator.domain.fields import Field, FieldType, Params, ParamValue, optional_text, text
from rotator.domain.ports import Evidence, Receipt, TargetState
from rotator.domain.secret import Secret
from rotator.targets import safe_file
from rotator.targets.safe_file import Ownership

DEFAULT_MODE: Final = "0600"
MAX_PATH: Final = 1024
IO_TIMEOUT_SECONDS: Final = 30.0
"""A network file system may hang; the step is repeated then."""

_MODE: Final = re.compile(r"0?[0-7]{3}")
_OWNER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*")
_GONE: Final = "absent"

T = TypeVar("T")


def _check_path(value: ParamValue) -> str | None:
    path = str(value)
    if not path.startswith("/"):
        return "must be absolute"
    if len(path) > MAX_PATH or not path.isprintable():
        return f"must be at most {MAX_PATH} printable characters"
    if path != str(PurePosixPath(path)) or ".." in PurePosixPath(path).parts:
        return "must be plain: without '..', '.', doubled slashes or a slash at the end"
    if path.startswith("//") or path == "/":
        return "must name a file"
    return None


def _check_mode(value: ParamValue) -> str | None:
    mode = str(value)
    if not _MODE.fullmatch(mode):
        return "must be octal digits as text, like 0600"
    if not int(mode, 8) & 0o400:
        return "must let the owner read"
    if int(mode, 8) & ~0o660:
        return "may give reading and writing to the owner and the group only"
    return None


def _check_owner(value: ParamValue) -> str | None:
    return None if _OWNER.fullmatch(str(value)) else "must be user:group, by name or number"


class FileTarget:
    """A file, replaced in one step, readable by its owner only unless asked otherwise.

    The marker is made of the inode, the modification time and the size: it changes with every
    write, and says nothing about the value, so nobody can test guesses against the audit log.
    """

    type = "file"
    fields: tuple[Field, ...] = (
        Field(
            "path",
            FieldType.TEXT,
            '"/etc/wireguard/fly0.conf"',
            required=True,
            check=_check_path,
            about="the file; its directory must exist",
        ),
        Field(
            "mode",
            FieldType.TEXT,
            '"0600"',
            default=DEFAULT_MODE,
            check=_check_mode,
            about="rights of the file, octal",
        ),
        Field(
            "owner",
            FieldType.TEXT,
            '"root:root"',
            check=_check_owner,
            about="user:group that the file is given to; the user that rotator runs as otherwise",
        ),
    )

    def check(self, params: Params) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def key(self, params: Params) -> str:
        """`file:{path}`."""
        return f"file:{text(params, 'path')}"

    def app(self, params: Params) -> str | None:
        """None: no machine reads it."""
        return None

    def secret_name(self, params: Params) -> str | None:
        """None: no machine reads it."""
        return None

    async def inspect(self, spec: TargetSpec) -> TargetState | None:
        """Inode, time and size of the file. Never opens it."""
        path = _path(spec)
        status = await _bounded(lambda: safe_file.look(path), path, Unavailable)
        if status is None:
            return None
        return TargetState(_marker(status), datetime.fromtimestamp(status.st_mtime, UTC))

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        """Replace the file and read it back."""
        path = _path(spec)
        mode = int(optional_text(spec.params, "mode") or DEFAULT_MODE, 8)

        def write() -> os.stat_result:
            return safe_file.write(path, value, mode=mode, ownership=_ownership(spec))

        return Receipt(_marker(await _bounded(write, path, OutcomeUnknown)))

    async def confirm(self, spec: TargetSpec, receipt: Receipt) -> Evidence:
        """See that the file is still the one that was written."""
        state = await self.inspect(spec)
        marker = _GONE if state is None else state.marker
        if marker == receipt.marker:
            return Evidence(f"{_path(spec)} is the file that rotator wrote and read back")
        if state is None:
            raise Drift(
                f"{_path(spec)} was deleted after rotator wrote it",
                next_step="find out who removed it, then retry the rotation",
            )
        raise Drift(
            f"somebody else changed {_path(spec)} after rotator wrote it; it is left as it is",
            next_step="find out who writes it, then retry the rotation",
        )

    async def remove(self, spec: TargetSpec) -> Receipt:
        """Delete the file, if it is a regular one. Removing nothing is success."""
        path = _path(spec)
        await _bounded(lambda: safe_file.remove(path), path, OutcomeUnknown)
        return Receipt(_GONE)

    def calls(self, spec: TargetSpec) -> Mapping[str, tuple[str, ...]]:
        """No API calls; what is done to the file."""
        path = _path(spec)
        return {"deliver": (f"replace {path}", f"read {path}"), "confirm": (f"stat {path}",)}


def _path(spec: TargetSpec) -> PurePosixPath:
    return PurePosixPath(text(spec.params, "path"))


def _marker(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


async def _bounded(
    work: Callable[[], T], path: PurePosixPath, late: type[Unavailable | OutcomeUnknown]
) -> T:
    """Run blocking work in a thread, for at most `IO_TIMEOUT_SECONDS`."""
    try:
        async with asyncio.timeout(IO_TIMEOUT_SECONDS):
            return await asyncio.to_thread(work)
    except TimeoutError:
        raise late(f"{path} did not answer within {IO_TIMEOUT_SECONDS:.0f} s") from None


def _ownership(spec: TargetSpec) -> Ownership:
    owner = optional_text(spec.params, "owner")
    if owner is None:
        return Ownership()
    user, _, group = owner.partition(":")
    return Ownership(
        _number(user, "user", lambda name: pwd.getpwnam(name).pw_uid),
        _number(group, "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(name: str, what: str, resolve: Callable[[str], int]) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return resolve(name)
    except KeyError:
        raise NeedsHuman(
            f"this machine has no {what} {name!r} to give the file to",
            next_step=f"create the {what}, or change owner in the manifest",
        ) from None
