"""TOML, JSON and YAML become trees whose positions are those of the text."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.config_files.json_form import read_json
from rotator.config_files.problem import FileProblem
from rotator.config_files.toml_form import read_toml, read_toml_with_comments
from rotator.config_files.yaml_form import read_yaml, yaml_comments
from rotator.domain.posture.config_file import Items, Node, Span, Table, Value, dotted, walk
from tests.unit.toml_documents import toml_texts


def plain(node: Node) -> object:
    """The data of a tree."""
    if isinstance(node, Table):
        return {entry.key: plain(entry.node) for entry in node.entries}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.value


def at(text: str, span: Span) -> str:
    """What stands at a span."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    begin = starts[span.line - 1] + span.column - 1
    return text[begin : starts[span.end_line - 1] + span.end_column - 1]


def entries(node: Node) -> list[tuple[str, Span]]:
    return [(e.key, e.key_span) for _, n in walk(node) if isinstance(n, Table) for e in n.entries]


def values(node: Node) -> list[Value]:
    return [n for _, n in walk(node) if isinstance(n, Value)]


@settings(max_examples=40, deadline=None)
@given(text=toml_texts())
def test_a_toml_document_is_read_as_tomllib_does_and_each_place_holds_its_own(text: str) -> None:
    tree = read_toml(text)
    assert plain(tree) == tomllib.loads(text)
    for key, span in entries(tree):
        assert tomllib.loads(f"{at(text, span)} = 0") == {key: 0}
    for value in values(tree):
        assert tomllib.loads(f"x = {at(text, value.span)}") == {"x": value.value}


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _NUMBERS, st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(
    data=st.dictionaries(st.text(max_size=6), _JSON, max_size=4),
    indent=st.sampled_from([None, 2, "\t"]),
    ascii_only=st.booleans(),
)
def test_a_json_document_is_read_as_json_does_and_each_place_holds_its_own(
    data: dict[str, object], indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    tree = read_json(text)
    assert plain(tree) == data
    for key, span in entries(tree):
        assert json.loads(at(text, span)) == key
    for value in values(tree):
        assert json.loads(at(text, value.span)) == value.value


_WORDS = st.text("abc xyz", max_size=5)
_SIMPLE = st.dictionaries(_WORDS, st.one_of(_WORDS, st.integers(), st.lists(_WORDS)), max_size=4)


@settings(max_examples=12, deadline=None)
@given(data=_SIMPLE)
def test_what_is_json_reads_the_same_as_yaml_where_yaml_takes_it(data: dict[str, object]) -> None:
    text = json.dumps(data, indent=2)
    assert plain(read_yaml(text)).keys() == data.keys()  # type: ignore[union-attr]
    assert entries(read_yaml(text)) == entries(read_json(text))


def test_the_three_forms_of_one_configuration_are_one_tree() -> None:
    services = '[[services]]\nports = [{ port = 80, handlers = ["http"] }]\n'
    toml = f'app = "web"\n[env]\nPORT = 80\n{services}'
    as_json = json.dumps(tomllib.loads(toml), indent=1)
    as_yaml = "app: web\nenv: {PORT: 80}\nservices:\n- ports:\n  - port: 80\n    handlers: [http]\n"
    expected = plain(read_toml(toml))
    assert plain(read_json(as_json)) == expected
    assert plain(read_yaml(as_yaml)) == expected


def test_places_in_yaml_are_those_of_the_text() -> None:
    text = 'app: web\nenv:\n  A: plain text\n  B: "quoted"\n  C: |\n    two\n    lines\n'
    found = {dotted(path): node for path, node in walk(read_yaml(text)) if isinstance(node, Value)}
    assert at(text, found["env.A"].span) == "plain text"
    assert at(text, found["env.B"].span) == '"quoted"'
    assert found["env.C"].value == "two\nlines\n"
    assert found["env.C"].span.line == 5


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_move_nothing(end: str) -> None:
    texts = {
        read_toml: ["[env]", '  A = "x"  # y', "  B = 1 ", "[[services]]"],
        read_json: ["{", ' "env": {', '  "A": "x",', '  "B": 1', " }}"],
        read_yaml: ["env:", "  A: x", "  B: 1"],
    }
    for read, lines in texts.items():
        text = end.join(lines) + end
        spans = [at(text, value.span) for value in values(read(text))]
        assert [span.strip('"') for span in spans] == ["x", "1"]


def test_lines_of_yaml_are_counted_as_editors_do() -> None:
    text = 'A: "\u2028"\nB: x\n'
    found = values(read_yaml(text))
    assert (found[1].span.line, found[1].span.column) == (2, 4)


def test_yaml_merges_and_aliases_are_followed() -> None:
    tree = read_yaml("base: &b {A: 1, B: 2}\nenv:\n  <<: *b\n  B: 3\nmore: [*b]\n")
    base = {"A": 1, "B": 2}
    assert plain(tree) == {"base": base, "env": {"A": 1, "B": 3}, "more": [base]}


def test_a_yaml_text_that_grows_without_end_is_refused() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(FileProblem, match="too large or nested too deeply"):
        read_yaml("\n".join(lines))


def test_a_yaml_text_that_holds_itself_is_refused() -> None:
    with pytest.raises(FileProblem, match="too large or nested too deeply"):
        read_yaml("a: &a [*a]\n")


@pytest.mark.parametrize(
    ("read", "text", "line", "column"),
    [
        (read_toml, 'app = "x"\nenv = [1, 2\n', 3, 1),
        (read_toml, "a = 1\na = 2\n", 2, 6),
        (read_toml, "[env]\nA = b\n", 2, 5),
        (read_json, '{\n "app": "x",\n}', 3, 1),
        (read_json, "[1]", 1, 1),
        (read_json, '{"a": NaN}', 1, 1),
        (read_yaml, "app: x\nenv:\n\tA: 1\n", 3, 1),
        (read_yaml, "app: [x\n", 2, 1),
        (read_yaml, "- a\n", 1, 1),
        (read_yaml, "a: \x01", 1, 4),
        (read_yaml, "a: *nowhere", 1, 4),
    ],
)
def test_a_text_that_is_not_of_its_form_is_refused_with_its_place(
    read: Callable[[str], Table], text: str, line: int, column: int
) -> None:
    with pytest.raises(FileProblem) as refused:
        read(text)
    assert (refused.value.line, refused.value.column) == (line, column)


def test_deep_nesting_is_refused() -> None:
    texts = {
        read_toml: "a = " + "[" * 1_500,
        read_json: '{"a": ' + "[" * 1_500,
        read_yaml: "\n".join(" " * level + "a:" for level in range(60)),
    }
    for read, text in texts.items():
        with pytest.raises(FileProblem):
            read(text)


def test_a_tree_shows_no_value_when_it_is_printed() -> None:
    assert "hush" not in repr(read_toml('[env]\nA = "hush"\nB = ["hush"]\n'))


def test_comments_are_kept_with_their_places_and_a_sign_in_a_value_is_none() -> None:
    text = '# one\nA = "x # y" # two\nB = [ # three\n  1, # four\n]\nC = """\n# no\n"""\n#\n'
    tree, comments = read_toml_with_comments(text)
    assert [comment.text for comment in comments] == [" one", " two", " three", " four", ""]
    assert [at(text, comment.span) for comment in comments] == [
        "# one", "# two", "# three", "# four", "#",
    ]  # fmt: skip
    assert len(values(tree)) == 3


def test_comments_of_yaml_are_whole_lines_outside_of_values() -> None:
    text = "# one\nA: |\n  # no\n  text\n  # no\nB: x\n  # two\n"
    found = yaml_comments(text, read_yaml(text))
    assert [at(text, comment.span) for comment in found] == ["# one", "# two"]
