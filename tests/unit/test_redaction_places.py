"""A value that this process holds comes out by none of the places, in none of its forms; and each
layer that sees to it is missed when it is switched off."""

from __future__ import annotations

import base64
import gc
import random
import string
import sys
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator import logs
from rotator.cli.guarded_console import GuardedConsole
from rotator.cli.guarding import GuardedStream, guarded, values_shown
from rotator.domain import redaction
from rotator.domain.redaction import content, held, structure
from rotator.domain.secret import Secret
from rotator.store import rows
from tests.unit.redaction_places import PLACES
from tests.unit.redaction_world import Stream, a_world, pieces

PUNCTUATED = f"{string.ascii_letters}{string.digits} !#$%&*+,-./:;=?@^_~é'\"\\"
"""What people make up: with blanks, quotes and letters beyond ASCII."""


def a_key(dice: random.Random, size: int) -> str:
    return base64.b64encode(dice.randbytes(size)).decode()


KINDS: tuple[Callable[[random.Random], str], ...] = (
    lambda dice: (
        base64.urlsafe_b64encode(dice.randbytes(dice.randint(16, 45))).decode().rstrip("=")
    ),
    lambda dice: a_key(dice, 32),
    lambda dice: f"FlyV1 fm2_{a_key(dice, dice.randint(60, 500))},fm2_{a_key(dice, 90)}",
    lambda dice: (
        f"-----BEGIN PRIVATE KEY-----\n{a_key(dice, 48)}\n{a_key(dice, 31)}\n"
        "-----END PRIVATE KEY-----\n"
    ),
    lambda dice: f"[Interface]\nPrivateKey = {a_key(dice, 32)}\nAddress = fdaa::2/120\n",
    lambda dice: "".join(dice.choices(PUNCTUATED, k=dice.randint(28, 60))),
    lambda dice: f"sk_{dice.randbytes(24).hex()}",
    lambda dice: f"https://hooks.example.com/services/{a_key(dice, 24)}",
)
VALUES = st.tuples(st.integers(0, 2**32), st.sampled_from(KINDS)).map(
    lambda drawn: drawn[1](random.Random(drawn[0]))
)
EXAMPLE = "kE7-uQ_2rTzP0aXwL9vB4nYh6cJm1dGs8fKo3iVq5eR"


def put(value: str, places: Iterable[str], *, as_json: bool = True, hold: bool = True) -> list[str]:
    """The parts of a value that came out by these places of a process that holds it."""
    with a_world(as_json=as_json) as world:
        if hold:
            Secret(value)
        for name in places:
            PLACES[name](world, value)
        told = world.told()
    return [piece for part in held.secret_parts(value) for piece in pieces(told, part)]


def leaking(value: str) -> set[str]:
    """The places by which some of it came out."""
    return {name for name in PLACES if put(value, [name])}


def test_the_stream_behind_a_guard_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded():
        print("half a line", end="")
    gc.collect()
    assert sys.stdout is stream
    assert stream.getvalue() == "half a line"


def test_a_command_that_is_there_to_print_a_value_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded():
        Secret(EXAMPLE)
        with values_shown():
            print(EXAMPLE)
        print(EXAMPLE)
    assert stream.getvalue() == f"{EXAMPLE}\n{content.MASK}\n"


def test_a_key_that_never_ends_takes_no_other_line_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    lines = (
        '{"n": 1}', '{"n": 2, "reason": "-----BEGIN RSA PRIVATE KEY-----[redacted]"}', '{"n": 3}',
        "-----BEGIN PRIVATE KEY-----", "MIIabc", "and on",
    )  # fmt: skip
    with guarded():
        for line in lines:
            print(line)
    told = stream.getvalue().splitlines()
    assert told[:3] == list(lines[:3])
    assert told[-1] == "and on"
    assert "MIIabc" not in told


def test_the_lines_of_a_key_that_come_one_by_one_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded():
        for line in ("-----BEGIN PRIVATE KEY-----", "MIIabc", "def", "-----END PRIVATE KEY-----"):
            print(line)
        print("and on")
    assert "MIIabc" not in stream.getvalue()
    assert "def" not in stream.getvalue()
    assert stream.getvalue().endswith("\nand on\n")


def test_there_are_places_enough() -> None:
    assert len(PLACES) >= 50


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.booleans())
def test_no_value_comes_out_by_any_place(value: str, as_json: bool) -> None:
    assert not put(value, PLACES, as_json=as_json) or leaking(value) == set()


def test_without_the_layers_every_place_lets_a_value_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a place that shows nothing anyway proves nothing; the exceptions say why."""
    for off in LAYERS.values():
        off(monkeypatch)
    assert set(PLACES) - leaking(EXAMPLE) == set(SHOWS_NOTHING)


@pytest.mark.parametrize("layer", ["held values", "logs", "events", "rows", "streams", "console"])
def test_a_layer_that_is_switched_off_is_missed(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    LAYERS[layer](monkeypatch)
    assert put(EXAMPLE, ONLY_BY[layer])


STRANGERS = {
    "content": ("log_message", "fm2_lJPECPWxZSJKWLeRxBBjnvCl9sEq"),
    "names": ("log_telling_name", "Tr0ub4dor-and-3-and-4"),
    "fly": ("fly_says_it", "A1b2" * 12),
}
"""A value that nobody holds, and the place where one layer alone sees it."""


@pytest.mark.parametrize("layer", STRANGERS)
def test_a_value_that_nobody_holds_is_found_by_one_layer(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value = STRANGERS[layer]
    assert not put(value, [name], hold=False)
    LAYERS[layer](monkeypatch)
    assert put(value, [name], hold=False)


ONLY_BY = {
    "held values": ["log_message"],
    "logs": ["log_message"],
    "events": ["event_reason"],
    "rows": ["step_row"],
    "streams": ["cli_line"],
    "console": ["cli_table"],
}
"""A place that each layer alone looks after."""
SHOWS_NOTHING = {
    "exception_local": "tracebacks are made without variables",
    "log_secret_type": "pydantic's own type hides it",
    "library_log_extra": "what libraries add is left out",
    "in_a_finaliser": "a crash is told by type and place",
    "uncaught": "a crash is told by type and place",
}


def switch_off_everything(patch: pytest.MonkeyPatch) -> None:
    """No layer is left."""
    for off in LAYERS.values():
        off(patch)


def identity(text: str, *_: object) -> str:
    """What a layer does that is switched off."""
    return text


def _no_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(held.HeldValues, "mask", lambda _self, text: text)


def _no_content(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(structure, "without_values", identity)


def _no_names(patch: pytest.MonkeyPatch) -> None:
    for module in (structure, content, redaction.kept):
        patch.setattr(module, "is_secret_name", lambda _name: False)


def _no_log_layer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(logs, "scrubbed", identity)
    patch.setattr(logs, "named", lambda _name, value: value)


def _no_events(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tests.unit.redaction_world.kept_event", lambda event: event)


def _no_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "kept", identity)


def _no_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GuardedStream, "_without_values", identity_of_method)


def _no_console(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GuardedConsole, "render", GuardedConsole.__mro__[1].render)  # type: ignore[attr-defined]


def _no_fly(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("rotator.fly.failures.redacted", identity)


def identity_of_method(_self: object, text: str) -> str:
    """The same for a method."""
    return text


LAYERS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "held values": _no_held,
    "content": _no_content,
    "names": _no_names,
    "logs": _no_log_layer,
    "events": _no_events,
    "rows": _no_rows,
    "streams": _no_guard,
    "console": _no_console,
    "fly": _no_fly,
}
