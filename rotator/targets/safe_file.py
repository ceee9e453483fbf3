"""Writing one small file so that a reader sees the old content or the new one, never a part.

Blocking; POSIX only. Nothing here follows a symbolic link that somebody else could have placed:
every directory of the path is opened one by one, and all work is done relative to the last one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hmac
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from rotator.domain.errors import (
    Busy,
    Drift,
    NeedsHuman,
    OutcomeUnknown,
    Refused,
    RotatorError,
    Unavailable,
)
from rotator.domain.secret import Secret

_SEQUENCE = itertools.count()
"""Tells apart temporary files of one process."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
_NOT_A_PLAIN_PATH: Final = frozenset({errno.ELOOP, errno.ENOTDIR})

_PASS: Final[int] = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""Open a directory on the way down: where the system can, the right to list it is not needed."""


class _NoDirectory(NeedsHuman):
    """A directory of the path does not exist."""


@dataclass(frozen=True)
class Ownership:
    """Who the file belongs to. None leaves what the writing process gives it."""

    uid: int | None = None
    gid: int | None = None


def write(path: PurePosixPath, value: Secret, *, mode: int, ownership: Ownership) -> os.stat_result:
    """Replace the file's content in one step and read it back; give what `stat` says of it.

    `Unavailable` or `Busy` when nothing was changed but may be later, `Refused` or `NeedsHuman`
    when a person has to mend the place, `OutcomeUnknown` when the new file may be there.
    """
    with _directory(path) as directory:
        _refuse_irregular(path, directory)
        _sweep(path, directory)
        with _explained(path, Unavailable), _temporary(path, directory) as (name, handle):
            _fill(handle, value, mode=mode, ownership=ownership)
            written = os.fstat(handle)
            _put_in_place(name, path, directory)
        with _explained(path, OutcomeUnknown):
            os.fsync(directory)
            _read_back(path, directory, written, value)
        return written


def look(path: PurePosixPath) -> os.stat_result | None:
    """What `stat` says of the file; None where there is none. Opens nothing but directories."""
    with _directory(path) as directory:
        return _refuse_irregular(path, directory)


def remove(path: PurePosixPath) -> None:
    """Take the file away, if there is one."""
    with contextlib.suppress(_NoDirectory), _directory(path) as directory:
        _sweep(path, directory)
        if _refuse_irregular(path, directory) is None:
            return
        with _explained(path, OutcomeUnknown):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=directory)
            os.fsync(directory)


@contextlib.contextmanager
def _directory(path: PurePosixPath) -> Iterator[int]:
    """Open the file's directory, going down from the root one name at a time."""
    with _explained(path, Unavailable):
        handle = os.open("/", _PASS)
    try:
        with _explained(path, Unavailable):
            for name in path.parent.parts[1:]:
                deeper = _open_directory(handle, name, path)
                os.close(handle)
                handle = deeper
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = readable
            _refuse_open_directory(handle, path)
        yield handle
    finally:
        os.close(handle)


def _open_directory(parent: int, name: str, path: PurePosixPath) -> int:
    """Open one directory. A link is followed only where root made it (`/var/run` and the like)."""
    status = os.lstat(name, dir_fd=parent)
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link and status.st_uid != 0:
        raise Refused(
            f"{path} leads through {name!r}, a symbolic link that does not belong to root; "
            "rotator did not follow it",
            next_step="give the path without the link",
        )
    return os.open(name, _PASS if is_link else _PASS | os.O_NOFOLLOW, dir_fd=parent)


def _refuse_open_directory(directory: int, path: PurePosixPath) -> None:
    mode = os.fstat(directory).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise Refused(
            f"everybody may replace files in {path.parent}, so rotator puts no secret there",
            next_step=f"chmod o-w {path.parent}",
        )


def _refuse_irregular(path: PurePosixPath, directory: int) -> os.stat_result | None:
    with _explained(path, Unavailable):
        try:
            status = os.lstat(path.name, dir_fd=directory)
        except FileNotFoundError:
            return None
    if stat.S_ISREG(status.st_mode):
        return status
    what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
    raise Refused(
        f"{path} is {what}; rotator left it as it is",
        next_step="move it away, or name another path",
    )


@contextlib.contextmanager
def _temporary(path: PurePosixPath, directory: int) -> Iterator[tuple[str, int]]:
    """A new, empty, locked file beside the real one, which only its owner can read.

    The lock tells `_sweep` that its writer is alive. Unlinked unless it was renamed.
    """
    name = f"{_temporary_prefix(path)}{os.getpid()}-{next(_SEQUENCE)}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, 0o600, dir_fd=directory)
    except FileExistsError:
        raise Busy(f"another process is writing {path}") from None
    try:
        with contextlib.suppress(OSError):  # network file systems may not have locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield name, handle
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.close(handle)


def _sweep(path: PurePosixPath, directory: int) -> None:
    """Remove what a writer that was killed left behind: it may hold a value."""
    prefix = _temporary_prefix(path)
    with _explained(path, Unavailable):
        for name in os.listdir(directory):
            if name.startswith(prefix):
                _remove_abandoned(name, directory)


def _remove_abandoned(name: str, directory: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=directory)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory)
    except OSError:
        return
    finally:
        os.close(handle)


def _temporary_prefix(path: PurePosixPath) -> str:
    return f".{path.name}.rotator-"


def _fill(handle: int, value: Secret, *, mode: int, ownership: Ownership) -> None:
    rest = memoryview(value.reveal().encode())
    while rest:
        rest = rest[os.write(handle, rest) :]
    if ownership.uid is not None or ownership.gid is not None:
        keep = -1
        uid = keep if ownership.uid is None else ownership.uid
        gid = keep if ownership.gid is None else ownership.gid
        os.fchown(handle, uid, gid)
    os.fchmod(handle, mode)
    os.fsync(handle)


def _put_in_place(name: str, path: PurePosixPath, directory: int) -> None:
    try:
        os.rename(name, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except FileNotFoundError:
        raise Busy(f"another process is writing {path}") from None


def _read_back(path: PurePosixPath, directory: int, written: os.stat_result, value: Secret) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path.name, flags, dir_fd=directory)
    try:
        there = os.fstat(handle)
        if (there.st_dev, there.st_ino) != (written.st_dev, written.st_ino):
            raise Drift(f"somebody else replaced {path} while rotator was writing it")
        if not hmac.compare_digest(_read(handle, there.st_size), value.reveal().encode()):
            raise Drift(f"somebody else changed {path} while rotator was writing it")
    finally:
        os.close(handle)


def _read(handle: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := os.read(handle, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def _explained(
    path: PurePosixPath, otherwise: type[Unavailable | OutcomeUnknown]
) -> Iterator[None]:
    """Turn the system's errors into ours; what is not known by number becomes `otherwise`."""
    try:
        yield
    except OSError as error:
        raise _explain(path, error, otherwise) from None


def _explain(
    path: PurePosixPath, error: OSError, otherwise: type[Unavailable | OutcomeUnknown]
) -> RotatorError:
    if error.errno == errno.ENOENT:
        return _NoDirectory(
            f"the directory {path.parent} does not exist, so {path} can't be there",
            next_step=f"create {path.parent}",
        )
    if error.errno in _FORBIDDEN:
        return Refused(
            f"rotator may not read and write {path}",
            next_step=f"let the user that rotator runs as write in {path.parent}, and own or "
            "share the group of the file's owner",
        )
    if error.errno == errno.EROFS:
        return Refused(
            f"{path} is on a file system that is mounted read-only",
            next_step="mount it for writing, or name another path",
        )
    if error.errno in _NOT_A_PLAIN_PATH:
        return Refused(
            f"{path.parent} is not made of plain directories", next_step="name another path"
        )
    if error.errno in _FULL:
        return otherwise(
            f"there is no room to write {path}", next_step="free some space on that file system"
        )
    reason = os.strerror(error.errno) if error.errno else "an unknown error"
    return otherwise(f"{path} can't be reached: {reason}")
