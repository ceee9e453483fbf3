"""Baselines: a file of the findings that are known, so that only new ones count."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rotator.domain.errors import InputError
from rotator.domain.posture.finding import FINGERPRINT_LENGTH
from rotator.domain.posture.judgement import BaselineEntry

FORMAT: Final = "rotator-posture-baseline/1"
BASELINE_BYTES: Final = 16 * 1024 * 1024
_HOW: Final = "write it with `--write-baseline`"


def read_baseline(path: Path) -> tuple[BaselineEntry, ...]:
    """Read a baseline.

    Raises:
        InputError: it is missing, unreadable, or no baseline.
    """
    try:
        if path.stat().st_size > BASELINE_BYTES:
            raise InputError("is larger than 16 MiB", where=str(path))
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("there is no such baseline", where=str(path), next_step=_HOW) from None
    except OSError as error:
        why = (error.strerror or "no reason given").lower()
        raise InputError(f"can't be read: {why}", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("can't be read: it is not UTF-8", where=str(path)) from None
    except json.JSONDecodeError as error:
        told = f"is no JSON: {error.msg.lower()}"
        raise InputError(told, where=f"{path}:{error.lineno}", next_step=_HOW) from None
    except RecursionError:
        raise InputError("is no baseline", where=str(path), next_step=_HOW) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f'is no baseline: "format" is not {FORMAT}', where=str(path))
    entries = data.get("findings")
    found = [_entry(each) for each in entries] if isinstance(entries, list) else [None]
    if None in found:
        told = 'is damaged: "findings" has to be a list of fingerprints with rule and subject'
        raise InputError(told, where=str(path), next_step=_HOW)
    return tuple(each for each in found if each is not None)


def _entry(data: object) -> BaselineEntry | None:
    if not isinstance(data, Mapping):
        return None
    keys = ("fingerprint", "rule", "subject", "organization", "app")
    texts = [data.get(key, "") for key in keys]
    if not all(isinstance(text, str) for text in texts) or len(texts[0]) != FINGERPRINT_LENGTH:
        return None
    return BaselineEntry(*texts)


def baseline_text(entries: Sequence[BaselineEntry]) -> str:
    """The same text for the same findings: no times, a fixed order, a line for each."""
    lines = [
        json.dumps(
            {
                "fingerprint": entry.fingerprint,
                "rule": entry.rule,
                "organization": entry.organization,
                "app": entry.app,
                "subject": entry.subject,
            },
            ensure_ascii=True,
        )
        for entry in entries
    ]
    body = ",\n".join(f"  {line}" for line in lines)
    findings = f"[\n{body}\n ]" if lines else "[]"
    return f'{{\n "format": {json.dumps(FORMAT)},\n "findings": {findings}\n}}\n'


def write_baseline(path: Path, entries: Sequence[BaselineEntry]) -> None:
    """Write it beside its place and rename it: it is whole, or as it was.

    Raises:
        InputError: its directory is not there, or may not be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(baseline_text(entries))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        why = (error.strerror or "no reason given").lower()
        raise InputError(f"can't be written: {why}", where=str(path)) from None
