"""Add entries to a manifest that people edit: what stands there stays, byte for byte."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rotator.domain.errors import InputError
from rotator.domain.fields import Params

_ESCAPES = {'"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True)
class Entry:
    """One credential to add, always observed only. `about` and `hint` become comments."""

    name: str
    kind: str
    params: Params
    targets: tuple[Mapping[str, str], ...]
    about: str
    hint: str


def append_entries(path: Path, entries: Sequence[Entry], check: Callable[[str], None]) -> None:
    """Add entries at the end of a manifest, all or none.

    `check` is given the new text before anything is written, and raises what is wrong with it. The
    file is replaced in one step, with its owner and mode, also behind a symbolic link.

    Raises:
        InputError: it can't be read or written, or somebody has changed it meanwhile.
    """
    real = path.resolve()
    before = _read(real, path)
    after = before + _text(before, entries)
    check(after.decode())
    if _read(real, path) != before:
        raise InputError(
            "was changed by somebody else meanwhile; nothing was written",
            where=str(path),
            next_step="run the command again",
        )
    try:
        _replace(real, after)
    except OSError as error:
        raise InputError(
            f"can't be written: {(error.strerror or 'no reason given').lower()}", where=str(path)
        ) from None


def _read(real: Path, shown: Path) -> bytes:
    try:
        found = real.read_bytes()
        found.decode()
    except FileNotFoundError:
        raise InputError(
            "there is no such manifest", where=str(shown), next_step="`rotator init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"can't be read: {why}", where=str(shown)) from None
    return found


def _text(before: bytes, entries: Sequence[Entry]) -> bytes:
    """The new entries, with the line ends of the file."""
    lines = [] if not before or before.endswith(b"\n") else [""]
    for entry in entries:
        lines += ["", *_lines(entry)]
    end = "\r\n" if b"\r\n" in before else "\n"
    return "".join(f"{line}{end}" for line in lines).encode()


def _lines(entry: Entry) -> list[str]:
    lines = [f"# {_comment(entry.about)}", f"# {_comment(entry.hint)}"]
    lines += [f"[credentials.{_key(entry.name)}]", f"kind = {_value(entry.kind)}"]
    lines += [f"{name} = {_value(value)}" for name, value in entry.params.items()]
    lines.append('mode = "observe"')
    if entry.targets:
        tables = [
            "{ " + ", ".join(f"{name} = {_value(value)}" for name, value in target.items()) + " }"
            for target in entry.targets
        ]
        lines.append(f"targets = [ {', '.join(tables)} ]")
    return lines


def _key(name: str) -> str:
    """Dots in a bare key would make a table of tables."""
    return f'"{name}"' if "." in name else name


def _comment(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _value(value: object) -> str:
    """A text as TOML. Names at Fly are any text, so everything that is not plain is escaped."""
    return '"' + "".join(_escaped(each) for each in str(value)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _replace(path: Path, content: bytes) -> None:
    standing = path.stat()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), stat.S_IMODE(standing.st_mode))
            with suppress(PermissionError):
                os.fchown(file.fileno(), standing.st_uid, standing.st_gid)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
