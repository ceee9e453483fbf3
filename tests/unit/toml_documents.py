"""Random TOML documents: data, and a text that says it in one of the many ways of TOML."""

# ruff: noqa: E501

from __future__ import annotations

import json

from hypothesis import strategies as st

Data = dict[str, object]

_KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
    st.text(
        st.characters(blacklist_categories=("Cs", "Cc"), max_codepoint=0x2FFF),
        min_size=0,
        max_size=6,
    ),
)
_TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab\"'\\#[]{}=,.\n\t \r"), st.characters(blacklist_categories=("Cs", "Cc"))
    ),
    max_size=12,
)
_SCALARS = st.one_of(
    _TEXTS,
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=5,
)
DOCUMENTS = st.dictionaries(
    _KEYS,
    st.one_of(
        _VALUES,
        st.dictionaries(_KEYS, _VALUES, max_size=4),
        st.lists(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3), min_size=1, max_size=3),
    ),
    max_size=5,
)


class Writer:
    """Writes data as TOML; `draw` chooses among the ways."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.lines: list[str] = []

    def _one_of(self, *choices: str) -> str:
        return self._draw(st.sampled_from(choices))

    def key(self, key: str) -> str:
        bare = key != "" and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)
        ways = [_basic(key)]
        if bare:
            ways += [key, key, f"'{key}'"]
        return self._one_of(*ways)

    def value(self, value: object) -> str:
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return self._array(value)
        if isinstance(value, dict):
            pairs = [
                f"{self.key(k)}{self._gap()}={self._gap()}{self.value(v)}" for k, v in value.items()
            ]
            return "{" + self._gap() + ", ".join(pairs) + self._gap() + "}"
        return repr(value)

    def _array(self, value: list[object]) -> str:
        blank = self._one_of("", " ", "\n  ", " # a ] comment\n  ")
        items = [self.value(item) for item in value]
        return "[" + blank + f",{blank}".join(items) + blank + "]"

    def _gap(self) -> str:
        return self._one_of("", " ", "  ", "\t")

    def _string(self, text: str) -> str:
        ways = [_basic(text), f'"""{_basic(text)[1:-1]}"""']
        plain = (
            "\r" not in text and all(c >= " " or c in "\t\n" for c in text) and "\x7f" not in text
        )
        if plain and "'" not in text:
            ways.append(f"'''{text}'''" if "\n" in text else f"'{text}'")
            if not text.startswith("\n"):
                ways.append(f"'''{text}'''")
        return self._one_of(*ways)

    def line(self, text: str) -> None:
        self.lines.append(self._one_of("", "  ", "\t") + text + self._one_of("", " ", "  # x = [1"))
        if self._one_of("", "blank") == "blank":
            self.lines.append(self._one_of("", "# [comment]"))

    def document(self, data: Data) -> str:
        tables = []
        for key, value in data.items():
            if (isinstance(value, dict) and self._one_of("table", "inline") == "table") or (
                isinstance(value, list) and value and all(isinstance(i, dict) for i in value)
            ):
                tables.append((key, value))
            else:
                self.line(f"{self.key(key)}{self._gap()}={self._gap()}{self.value(value)}")
        for key, value in tables:
            many = isinstance(value, list)
            for each in value if isinstance(value, list) else [value]:
                head = f"{self._gap()}{self.key(key)}{self._gap()}"
                self.line(f"[[{head}]]" if many else f"[{head}]")
                self._pairs(each)
        return "\n".join(self.lines) + self._one_of("", "\n")

    def _pairs(self, table: Data) -> None:
        for key, value in table.items():
            single = isinstance(value, dict) and len(value) == 1
            if single and self._one_of("dotted", "inline") == "dotted":
                assert isinstance(value, dict)
                ((inner, held),) = value.items()
                self.line(
                    f"{self.key(key)}{self._gap()}.{self._gap()}{self.key(inner)} = {self.value(held)}"
                )
            else:
                self.line(f"{self.key(key)} = {self.value(value)}")


def _basic(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    """A text that tomllib takes."""
    return Writer(draw).document(draw(DOCUMENTS))
