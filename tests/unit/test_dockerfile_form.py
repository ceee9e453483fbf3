"""A Dockerfile is read as Docker reads it, and each part knows its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.config_files.dockerfile_form import read_dockerfile
from rotator.config_files.problem import FileProblem
from rotator.domain.posture.dockerfile import Dockerfile, Instruction, expanded
from tests.unit.test_config_forms import at

BUILT = """\
# syntax=docker/dockerfile:1
# escape=`

ARG NODE=20
FROM --platform=linux/amd64 node:${NODE} AS build
ENV A=1 `
    # a comment between

    B="x y" C='z'
ENV OLD some value `
  here
RUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN `
    npm ci && `
    npm run build
COPY <<-"END" /etc/conf
	key=value
	END
FROM build
arg TOKEN
LABEL a.b=c
EXPOSE 80/tcp 443
USER 1000:1000
CMD ["node", "server.js"]
"""


def instructions(file: Dockerfile, keyword: str) -> list[Instruction]:
    return [i for stage in file.stages for i in stage.instructions if i.keyword == keyword]


def test_both_forms_of_env_are_read_over_several_lines_and_with_comments_between() -> None:
    file = read_dockerfile(BUILT, "Dockerfile")
    first, old = instructions(file, "ENV")
    assert [(a.name, a.value) for a in first.assignments] == [("A", "1"), ("B", "x y"), ("C", "z")]
    assert [at(BUILT, a.span) for a in first.assignments] == ["A=1", 'B="x y"', "C='z'"]
    assert [(a.name, a.value) for a in old.assignments] == [("OLD", "some value   here")]


def test_stages_know_their_base_and_their_arguments() -> None:
    file = read_dockerfile(BUILT, "Dockerfile")
    assert [stage.name for stage in file.stages] == ["build", ""]
    assert file.base(file.stages[1]) == file.stages[0]
    assert expanded(file.stages[0].image.text, file.defaults) == "node:20"
    assert file.target("") == file.stages[1]
    assert file.target("BUILD") == file.stages[0]
    assert file.lineage(file.stages[1]) == file.stages


def test_flags_words_and_heredocs_are_apart() -> None:
    file = read_dockerfile(BUILT, "Dockerfile")
    (run,) = instructions(file, "RUN")
    (copy,) = instructions(file, "COPY")
    (argument,) = instructions(file, "ARG")
    assert run.flag("mount") == ("type=secret,id=NPM_TOKEN,env=NPM_TOKEN",)
    assert run.text.split() == ["npm", "ci", "&&", "npm", "run", "build"]
    assert copy.body == "\tkey=value\n"
    assert [(a.name, a.value) for a in argument.assignments] == [("TOKEN", None)]
    assert [w.text for w in instructions(file, "EXPOSE")[0].words] == ["80/tcp", "443"]
    assert at(BUILT, instructions(file, "USER")[0].span) == "USER 1000:1000"


def test_a_shift_in_a_command_opens_no_heredoc() -> None:
    lines = ["RUN echo $((1<<2)) && cat <<<word", "RUN echo '<<EOF' \"<<-EOF\" cat<<EOF", "USER 1"]
    file = read_dockerfile("\n".join(["FROM a", *lines, ""]), "Dockerfile")
    assert [i.keyword for i in file.stages[0].instructions] == ["RUN", "RUN", "USER"]


def test_several_heredocs_of_one_line_follow_each_other() -> None:
    text = "FROM a\nCOPY <<A <<-'B' /x/\none\nA\n\ttwo\n\tB\nUSER 1\n"
    copy, user = read_dockerfile(text, "Dockerfile").stages[0].instructions
    assert copy.body == "one\n\ttwo\n"
    assert (user.span.line, user.keyword) == (7, "USER")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "no FROM"),
        ("# only a comment\n", 1, "no FROM"),
        ("RUN true\nFROM a\n", 1, "first instruction"),
        ("FROM a\n\nINSTALL x\n", 3, "no instruction"),
        ("FROM a b\n", 1, "FROM takes an image"),
        ("FROM a\nENV X\n", 2, "a name and a value"),
        ("FROM a\nENV A=1 B\n", 2, "NAME=value"),
        ("FROM a\nRUN <<EOF\necho\n", 2, "no end"),
        ("# escape=x\nFROM a\n", 1, "escape takes"),
    ],
)
def test_what_docker_refuses_is_refused_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(FileProblem, match=what) as refused:
        read_dockerfile(text, "Dockerfile")
    assert refused.value.line == line


_VALUES = st.text(st.sampled_from("abcXYZ019 _/:=-\\\"'#$`"), max_size=10)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(_VALUES, min_size=1, max_size=4), broken=st.booleans())
def test_assignments_read_back_as_they_were_written(values: list[str], *, broken: bool) -> None:
    gap = " \\\n  # between\n  " if broken else " "
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    text = "FROM a\nENV " + gap.join(f"N{n}={q}" for n, q in enumerate(quoted)) + "\n"
    (env,) = instructions(read_dockerfile(text, "Dockerfile"), "ENV")
    assert [a.value for a in env.assignments] == values
    assert [at(text, a.span) for a in env.assignments] == [
        f"N{n}={q}" for n, q in enumerate(quoted)
    ]


def test_a_dockerfile_shows_no_value_when_it_is_printed() -> None:
    text = "FROM a\nENV A=hush\nRUN echo hush <<E\nhush\nE\n"
    assert "hush" not in repr(read_dockerfile(text, "Dockerfile"))


def test_comments_between_and_inside_instructions_are_kept() -> None:
    text = "# one\nFROM a\nRUN x \\\n  # two\n  && y\n  # three\n"
    file = read_dockerfile(text, "Dockerfile")
    assert [at(text, comment.span) for comment in file.comments] == ["# one", "# two", "# three"]
