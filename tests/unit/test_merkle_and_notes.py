"""The tree and the notes against a second implementation that was written from their standards."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.domain.audit_proof import ConsistencyProof, InclusionProof, check_proof
from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.events import Action, Event, Outcome, leaf_bytes, place, to_event, to_row
from rotator.domain.merkle import (
    Frontier,
    Node,
    complete_root,
    consistency_ranges,
    cover,
    folded,
    inclusion_ranges,
    is_consistent,
    leaf_hash,
    root_from_inclusion,
)
from rotator.domain.note import (
    TreeHead,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    signed_note,
    split_notes,
)
from rotator.domain.redaction import kept_event
from rotator.domain.rotation import Actor
from tests.harness import tlog

ORIGIN = "rotator/0123456789abcdef"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(ORIGIN, PRIVATE.public_key().public_bytes_raw())
SIZES = st.integers(1, 70)


def entries(count: int) -> list[bytes]:
    return [f"event {n}".encode() for n in range(count)]


def hash_over(leaves: list[bytes], start: int, end: int) -> bytes:
    def node(each: Node) -> bytes:
        first = each.position << each.level
        return complete_root(leaves[first : first + (1 << each.level)])

    return folded([node(each) for each in cover(start, end)])


def checkpoint(count: int) -> str:
    head = TreeHead(ORIGIN, count, tlog.tree_hash(entries(count)))
    return signed_note(head.text(), KEY, PRIVATE.sign)


@given(SIZES)
def test_a_growing_frontier_has_the_root_of_the_standard(size: int) -> None:
    frontier = Frontier()
    for entry in entries(size):
        frontier.push(0, leaf_hash(entry))
    assert frontier.root() == tlog.tree_hash(entries(size))
    assert Frontier.unpacked(size, frontier.packed()).root() == frontier.root()
    assert Frontier().root() == tlog.tree_hash([])


@given(SIZES, st.integers(0, 3))
def test_a_tree_that_grows_by_parts_is_the_same(size: int, level: int) -> None:
    start = (size // 2 >> level) << level
    whole, part = Frontier(), Frontier(start=start)
    for number, entry in enumerate(entries(size)):
        (whole if number < start else part).push(0, leaf_hash(entry))
    for each, found in part.nodes:
        whole.push(each, found)
    assert whole.root() == tlog.tree_hash(entries(size))


@given(SIZES, st.data())
def test_proofs_are_those_of_the_standard_and_hold(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [leaf_hash(entry) for entry in entries(size)]
    root = tlog.tree_hash(entries(size))
    path = [hash_over(leaves, *each) for each in inclusion_ranges(index, size)]
    assert path == tlog.audit_path(index, entries(size))
    assert root_from_inclusion(leaves[index], index, size, path) == root
    assert tlog.includes(entries(size)[index], index, size, path, root)

    old = data.draw(st.integers(1, size))
    old_root = tlog.tree_hash(entries(old))
    between = [hash_over(leaves, *each) for each in consistency_ranges(old, size)]
    assert between == tlog.consistency_path(old, entries(size))
    assert is_consistent(old, old_root, size, root, between)
    assert tlog.extends(old, old_root, size, root, between)


@given(st.integers(2, 40), st.data())
def test_a_proof_of_something_else_does_not_hold(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = tlog.tree_hash(entries(size))
    path = tlog.audit_path(index, entries(size))
    leaf = leaf_hash(entries(size)[index])
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    assert root_from_inclusion(leaf_hash(b"forged"), index, size, path) != root
    assert root_from_inclusion(leaf, other, size, path) != root
    assert root_from_inclusion(leaf, index, size, path[:-1]) is None
    old = data.draw(st.integers(1, size - 1))
    between = tlog.consistency_path(old, entries(size))
    assert not is_consistent(old, tlog.sha(b"forged"), size, root, between)
    assert not is_consistent(old, tlog.tree_hash(entries(old)), size, tlog.sha(b"x"), between)


def test_checkpoints_open_with_the_second_implementation() -> None:
    note = checkpoint(7)
    assert tlog.open_checkpoint(note, str(KEY)) == (ORIGIN, 7, tlog.tree_hash(entries(7)))
    head, parsed = parse_checkpoint(note)
    assert head == TreeHead(ORIGIN, 7, tlog.tree_hash(entries(7)))
    assert parsed.is_signed_by([KEY])
    assert VerifierKey.parse(str(KEY)) == KEY


def test_the_note_of_the_specification_is_read() -> None:
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7"
        "u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    head, parsed = parse_checkpoint(note)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert parsed.signatures[0].key_id.hex() == "033de0ae"
    assert parsed.is_signed_by([KEY]) is None


def test_a_note_counts_only_when_a_known_key_signed_it() -> None:
    note = checkpoint(7)
    stranger = VerifierKey(ORIGIN, bytes(32))
    assert parse_note(note).is_signed_by([stranger]) is None
    assert parse_note(note.replace("\n7\n", "\n8\n")).is_signed_by([KEY]) is False
    both = note + "\u2014 witness.example AAAAAAEC\n"
    assert parse_note(both).is_signed_by([KEY])


@pytest.mark.parametrize(
    "broken",
    ["", "text", "a\n\n", "a\n\nb\n", "a\n\n\u2014 n \n", "a\n\n\u2014 n+m AAAAAAE=\n", "a\tb\n\n"],
)
def test_what_is_no_note_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_note(broken)


@pytest.mark.parametrize("text", ["x\n07\nAA==\n", "x\n7\nAA==\n", "x\n7\n", "\n7\nAA==\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TreeHead.parse(text)


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+AQ==", str(KEY)[:-4], f"x{KEY}"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no verifier key"):
        VerifierKey.parse(text)


def test_checkpoints_are_found_in_a_file_that_they_were_appended_to() -> None:
    notes = [checkpoint(n) for n in (1, 2, 3)]
    assert list(split_notes("".join(notes))) == notes
    assert list(split_notes("\n\n".join(notes) + "\n")) == notes


EVENT = Event(
    Action.STEP_DONE,
    Outcome.OK,
    Actor("user", "ann@laptop", host="laptop", uid=501),
    datetime(2026, 1, 1, tzinfo=UTC),
    reason='ü "quoted" \u2028 \x7f \x01',
    app="web",
    detail={"wave": "1"},
)


def test_leaf_bytes_are_plain_json_of_the_columns() -> None:
    row = to_row(place(EVENT, after=None))
    plain = json.dumps(row[3:], separators=(",", ":"), ensure_ascii=False).encode()
    assert leaf_bytes(row) == plain
    assert to_event(row).event == EVENT


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**60))
def test_leaf_bytes_are_plain_json_whatever_is_in_them(text: str, number: int) -> None:
    row = (1, "", "", 2, number, text, *(None for _ in range(14)), text)
    plain = json.dumps(row[3:], separators=(",", ":"), ensure_ascii=False).encode()
    assert leaf_bytes(row) == plain


def test_an_event_is_kept_without_tokens_and_without_what_no_database_takes() -> None:
    token = "fo1_" + "a" * 40
    event = Event(
        Action.STEP_DONE,
        Outcome.OK,
        Actor("user", "ann"),
        EVENT.at,
        reason=f"leaked {token} \ud800 \0",
        detail={"error": f"bad {token}"},
    )
    kept = kept_event(event)
    assert token not in repr(kept)
    assert kept.reason == "leaked fo1_[redacted] ? \ufffd"


LEAF = leaf_bytes(to_row(place(EVENT, after=None)))


def proof(size: int = 5) -> InclusionProof:
    log = [LEAF, *entries(size - 1)]
    head = TreeHead(ORIGIN, size, tlog.tree_hash(log))
    note = signed_note(head.text(), KEY, PRIVATE.sign)
    return InclusionProof(1, LEAF, tuple(tlog.audit_path(0, log)), note, str(KEY))


def consistency() -> ConsistencyProof:
    path = tuple(tlog.consistency_path(3, entries(7)))
    return ConsistencyProof(checkpoint(3), checkpoint(7), path, str(KEY))


def test_proofs_hold_here_and_by_the_second_implementation() -> None:
    text = proof().to_json()
    assert tlog.proof_holds(text, str(KEY))
    proven = check_proof(text, [KEY], "proof.json")
    assert proven.trusted
    assert proven.event is not None
    assert proven.event["actor_name"] == "ann@laptop"
    assert not check_proof(text, [], "proof.json").trusted
    text = consistency().to_json()
    assert tlog.proof_holds(text, str(KEY))
    assert "3 events is the beginning of that of 7" in check_proof(text, [KEY], "x").statement


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 2),
        ("leaf", LEAF.decode().replace("web", "api")),
        ("hashes", []),
        ("event", {"app": "api"}),
    ],
)
def test_a_proof_that_was_changed_does_not_hold(field: str, value: object) -> None:
    told = json.loads(proof().to_json()) | {field: value}
    with pytest.raises(NeedsHuman):
        check_proof(json.dumps(told), [KEY], "proof.json")


def test_a_proof_of_another_log_s_key_does_not_hold() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    stranger = VerifierKey(ORIGIN, private.public_key().public_bytes_raw())
    with pytest.raises(NeedsHuman, match="not signed by the key that was given"):
        check_proof(proof().to_json(), [stranger], "proof.json")
    told = json.loads(consistency().to_json())
    told["new"] = checkpoint(8)
    with pytest.raises(NeedsHuman, match="does not hold"):
        check_proof(json.dumps(told), [KEY], "proof.json")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"format": "rotator-audit-proof/1"}', "\x00"],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        check_proof(text, [KEY], "proof.json")
    broken = json.loads(proof().to_json()) | {"hashes": [base64.b64encode(b"short").decode()]}
    with pytest.raises(InputError, match="malformed"):
        check_proof(json.dumps(broken), [KEY], "proof.json")
