"""The corpus of tests/data/posture: apps' files as people write them, good and bad.

A file holds @{kind} where a secret or digest goes; the values are made when the corpus is copied,
so that nothing in the repository looks like a credential. expected.txt says which rule finds what.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.unit.secret_corpus import Dice, issued

CORPUS = Path(__file__).parents[1] / "data" / "posture"
EXPECTED = CORPUS / "expected.txt"

_INLINE = re.compile(r"@\{(\w+)\}")
_BASE64 = re.compile(r"@\{base64:((?:[^{}]|\{[^{}]*\})*)\}")
_ISSUED = {
    "fly": 0, "github": 4, "slack_hook": 10, "stripe": 13, "anthropic": 17, "openai": 19,
    "sendgrid": 20, "npm": 21,
}  # fmt: skip
_MADE: Mapping[str, Callable[[Dice], str]] = {
    "password": lambda dice: dice.alnum(14) + "7x",
    "b64": lambda dice: dice.base64(32),
    "uuid": Dice.uuid,
    "pem": lambda dice: dice.pem("PRIVATE" + " KEY"),
    "jwt": lambda dice: dice.jwt(role="service_role"),
    "jwt_anon": lambda dice: dice.jwt(role="anon"),
    "digest": lambda dice: dice.hex(64),
    "aws_id": lambda dice: "AK" + "IA" + dice.of("ABCDEFGHIJ234567", 16),
    "aws_secret": lambda dice: dice.base64(30),
    "discord": lambda dice: "M" + dice.word(25) + "." + dice.word(6) + "." + dice.word(38),
}
_SIZED = re.compile(r"(hex|alnum|word)(\d+)")


class Filled:
    """The corpus in a folder, with `secrets` that must show nowhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: list[str] = []
        for source in sorted(CORPUS.rglob("*")):
            if source.is_file() and source != EXPECTED:
                target = folder / source.relative_to(CORPUS)
                target.parent.mkdir(parents=True, exist_ok=True)
                dice = Dice(zlib.crc32(source.relative_to(CORPUS).as_posix().encode()))
                target.write_text(self._fill(source.read_text("utf-8"), dice), "utf-8")

    def cases(self) -> list[Path]:
        """The folders that are looked at one by one."""
        return sorted(path for path in self.folder.iterdir() if path.is_dir())

    def _fill(self, text: str, dice: Dice) -> str:
        def encoded(match: re.Match[str]) -> str:
            inner = _INLINE.sub(lambda m: self._made(m[1], dice), match[1]).replace("\\n", "\n")
            return base64.b64encode(inner.encode()).decode()

        return _INLINE.sub(lambda m: self._made(m[1], dice), _BASE64.sub(encoded, text))

    def _made(self, kind: str, dice: Dice) -> str:
        sized = _SIZED.fullmatch(kind)
        if sized is not None:
            value = str(getattr(dice, sized[1])(int(sized[2])))
        elif kind in _ISSUED:
            value = issued(dice)[_ISSUED[kind]]
        else:
            value = _MADE[kind](dice)
        self.secrets.append(value)
        return value


def expectations() -> list[str]:
    """The lines of expected.txt: file:line:column rule."""
    lines = EXPECTED.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
