"""`rotator posture --rules` and `--explain`: what is looked for, and why."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rotator.cli.posturing.data import rule_data
from rotator.cli.posturing.table import STYLES
from rotator.cli.text import canvas_of, console, print_json, say, show_lines
from rotator.domain.errors import InputError
from rotator.domain.posture.finding import Rule, Topic

if TYPE_CHECKING:
    from rich.text import Text


def show_rules(rules: Mapping[str, Rule], form: str) -> int:
    """List all rules: as a table, as JSON, or as the page docs/rules.md."""
    if form == "json":
        print_json({"rules": [rule_data(rule) for rule in rules.values()]})
    elif form == "markdown":
        say(rules_markdown(tuple(rules.values())).rstrip("\n"))
    elif form == "table":
        show_lines(_lines(tuple(rules.values()), console().width))
    else:
        raise InputError(f"rules are listed as table, json or markdown, not as {form}")
    return 0


def explain_rule(rules: Mapping[str, Rule], name: str, form: str) -> int:
    """Tell all about one rule."""
    rule = rules.get(name)
    if rule is None:
        close = difflib.get_close_matches(name, rules, n=1)
        hint = f"did you mean {close[0]}?" if close else "`rotator posture --rules` lists them"
        raise InputError(f"{name[:60]!r} is no rule", where="--explain", next_step=hint)
    if form == "json":
        print_json(rule_data(rule))
        return 0
    width = min(console().width, 100)
    arrow = "->" if canvas_of(console()).ascii_only else "→"
    say(f"{rule.id}  {rule.risk.word}  {rule.topic.value}")
    for text in (rule.title, "", rule.why, "", f"{arrow} {rule.mend}", "", rule.page):
        say(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))
    return 0


def _lines(rules: Sequence[Rule], width: int) -> Iterator[Text]:
    """A line for each rule, in groups by topic."""
    from rich.text import Text

    longest = max((len(rule.id) for rule in rules), default=0)
    beside = width - longest - 14
    for topic in Topic:
        members = [rule for rule in rules if rule.topic is topic]
        if members:
            yield Text(topic.value, "bold")
        for rule in members:
            first, *more = textwrap.wrap(rule.title, max(beside, 20))
            line = Text(f"  {rule.risk.word:<9} ", STYLES[rule.risk])
            yield line.append(f"{rule.id:<{longest}}  {first}", "default")
            indent = " " * (longest + 14)
            yield from (Text(indent + part) for part in more)


def rules_markdown(rules: Sequence[Rule]) -> str:
    """docs/rules.md."""
    return "\n".join(_markdown(rules)) + "\n"


def _markdown(rules: Sequence[Rule]) -> Iterator[str]:
    yield "# Rules of `rotator posture`"
    yield ""
    yield "Made by `rotator posture --rules --format markdown`; don't edit. An id never changes its"
    yield "meaning. A finding has the exact place, and the command or patch that mends it. The"
    yield "severity is the usual one; a finding may be worse, or less bad."
    yield ""
    yield "| rule | severity | |"
    yield "|---|---|---|"
    ordered = [rule for topic in Topic for rule in rules if rule.topic is topic]
    yield from (f"| [`{r.id}`](#{r.id}) | {r.risk.word} | {r.title} |" for r in ordered)
    for topic in Topic:
        members = [rule for rule in rules if rule.topic is topic]
        if not members:
            continue
        yield ""
        yield f"## {topic.value.capitalize()}"
        for rule in members:
            yield ""
            yield f"### `{rule.id}`"
            yield ""
            yield f"{rule.title}. **{rule.risk.word.capitalize()}.**"
            yield ""
            yield rule.why
            yield ""
            yield f"To mend it: {rule.mend}"
            if rule.page:
                yield ""
                yield f"<{rule.page}>"
