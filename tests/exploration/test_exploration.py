"""The protocol holds its promises in every state that can be reached, and the explorer would see it
if it did not: with one entry of its tables swapped, it names the promise that is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rotator.domain import protocol, rollout, turning
from rotator.domain.credential import VERSION_MOVES, VersionState
from rotator.domain.protocol import RULES, SEQUENCES, OnStepFailure
from rotator.domain.rotation import ROTATION_MOVES, Mode, RotationState, StepName
from rotator.engine import adoption
from tests.exploration import walk
from tests.exploration.__main__ import SCENARIOS
from tests.exploration.search import Bounds, explore
from tests.exploration.state import Scenario

MINT, PROVE, DELIVER, ROLL_OUT, CONFIRM, PROMOTE, RETIRE = protocol.FORWARD
RESTORE, ROLL_BACK, DISCARD = protocol.BACK
NORMAL, REVOKE_FIRST = Scenario(Mode.NORMAL), Scenario(Mode.REVOKE_FIRST)
QUICK = Bounds(faults=1, people=1)

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_every_promise_holds_with_any_one_fault_and_any_one_wish(scenario: Scenario) -> None:
    report = explore(scenario, QUICK)
    assert report.broken is None, report.path
    assert report.states > 2000
    assert report.ends.keys() == {"succeeded", "rolled_back", "parked"}


def test_every_promise_holds_with_any_two_faults() -> None:
    report = explore(NORMAL, Bounds(faults=2, people=0))
    assert report.broken is None, report.path
    assert report.states > 20_000


def sequence(*steps: StepName) -> Callable[[Patch], None]:
    """The protocol in another order, or with a step left out."""
    return lambda patch: patch.setitem(SEQUENCES, Mode.NORMAL, steps)


def back(*steps: StepName) -> Callable[[Patch], None]:
    """The way back in another order, or with a step left out."""
    return lambda patch: patch.setattr(protocol, "BACK", steps)


def on_failure(step: StepName, course: OnStepFailure) -> Callable[[Patch], None]:
    """Another turn after a failure."""
    rule = replace(RULES[step], on_failure=course)
    return lambda patch: patch.setitem(RULES, step, rule)


def no_move_to_retiring(patch: Patch) -> None:
    """A table of moves that the walk does not keep to."""
    moves = ROTATION_MOVES[RotationState.RUNNING] - {RotationState.RETIRING}
    patch.setitem(ROTATION_MOVES, RotationState.RUNNING, moves)


def no_way_back_for_versions(patch: Patch) -> None:
    """The same for versions."""
    moves = VERSION_MOVES[VersionState.RETIRING] - {VersionState.CURRENT}
    patch.setitem(VERSION_MOVES, VersionState.RETIRING, moves)


def forget_the_revocation(patch: Patch) -> None:
    """An undo although the old value may be revoked."""
    for module in (protocol, turning):
        patch.setattr(module, "may_be_revoked", lambda _: False)


def every_mint_is_clear(patch: Patch) -> None:
    """Nobody looks for a value whose answer was lost."""
    patch.setattr(walk, "mint_was_unclear", lambda _: False)


def both_at_once(patch: Patch) -> None:
    """A budget that lets the whole group go."""
    patch.setattr(rollout, "unavailable_budget", lambda *_: 2)


def nobody_may_hold_it(patch: Patch) -> None:
    """A roll-back that trusts that no machine has taken the new value up."""
    patch.setattr(adoption, "may_hold", lambda *_, **__: False)


@pytest.mark.parametrize(
    ("sabotage", "promise"),
    [
        (sequence(MINT, PROVE, DELIVER, RETIRE, ROLL_OUT, CONFIRM, PROMOTE), "P1"),
        (sequence(MINT, PROVE, DELIVER, PROMOTE, RETIRE, ROLL_OUT, CONFIRM), "P1"),
        (sequence(MINT, DELIVER, PROVE, ROLL_OUT, CONFIRM, PROMOTE, RETIRE), "P1"),
        (sequence(MINT, PROVE, DELIVER, PROMOTE, RETIRE), "P1"),
        (sequence(MINT, PROVE, DELIVER, CONFIRM, PROMOTE, RETIRE), "P5"),
        (sequence(MINT, PROVE, DELIVER, ROLL_OUT, CONFIRM, PROMOTE), "P5"),
        (back(DISCARD, RESTORE, ROLL_BACK), "P1"),
        (back(ROLL_BACK, DISCARD), "P1"),
        (back(RESTORE, DISCARD), "P5"),
        (back(RESTORE, ROLL_BACK), "P2"),
        (on_failure(ROLL_OUT, OnStepFailure.REMINT), "P1"),
        (on_failure(CONFIRM, OnStepFailure.REMINT), "P1"),
        (no_move_to_retiring, "P5"),
        (no_way_back_for_versions, "P5"),
        (every_mint_is_clear, "P2"),
        (both_at_once, "P4"),
        (nobody_may_hold_it, "P1"),
    ],
)
def test_a_swapped_entry_is_found_by_the_promise_that_it_breaks(
    monkeypatch: Patch, sabotage: Callable[[Patch], None], promise: str
) -> None:
    sabotage(monkeypatch)
    report = explore(NORMAL, QUICK)
    assert (report.broken or "none")[:2] == promise, report.broken
    assert report.path


def test_a_second_fault_finds_what_one_does_not(monkeypatch: Patch) -> None:
    """Only a delivery whose answer is lost and that is refused then leaves a value behind."""
    on_failure(DELIVER, OnStepFailure.REMINT)(monkeypatch)
    report = explore(NORMAL, Bounds(faults=2, people=0))
    assert (report.broken or "none")[:2] == "P1"


def test_an_undo_after_the_revocation_is_found(monkeypatch: Patch) -> None:
    forget_the_revocation(monkeypatch)
    report = explore(REVOKE_FIRST, QUICK)
    assert report.broken is not None
    assert report.broken.startswith("P")


@pytest.mark.parametrize("bounds", [Bounds(1, 1, deadlines=False), Bounds(1, 1, fences=False)])
def test_a_worker_that_acts_after_its_claim_has_run_out_is_found(bounds: Bounds) -> None:
    report = explore(NORMAL, bounds)
    assert report.broken is not None
    assert any("frozen worker wakes up" in step for step in report.path)
