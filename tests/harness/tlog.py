"""A second implementation of transparency logs, written from RFC 6962 section 2.1, RFC 9162 section
2.1 (verification) and C2SP's signed-note and tlog-checkpoint. It imports nothing of rotator, so
that a mistake of rotator's own is not its own judge.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if not entries:
        return sha()
    if len(entries) == 1:
        return sha(b"\x00", entries[0])
    k = largest_power_below(len(entries))
    return sha(b"\x01", tree_hash(entries[:k]), tree_hash(entries[k:]))


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def audit_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962."""
    if len(entries) == 1:
        return []
    k = largest_power_below(len(entries))
    if m < k:
        return [*audit_path(m, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(m - k, entries[k:]), tree_hash(entries[:k])]


def consistency_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF of RFC 6962."""
    return _subproof(m, entries, True)


def _subproof(m: int, entries: Sequence[bytes], whole: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if whole else [tree_hash(entries)]
    k = largest_power_below(n)
    if m <= k:
        return [*_subproof(m, entries[:k], whole), tree_hash(entries[k:])]
    return [*_subproof(m - k, entries[k:], False), tree_hash(entries[:k])]


def includes(entry: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, sha(b"\x00", entry)
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = sha(b"\x01", p, r)
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\x01", r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def extends(
    first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """RFC 9162, section 2.1.4.2."""
    if first == second:
        return not path and first_root == second_root
    if not path:
        return False
    proof = list(path)
    if first & (first - 1) == 0:
        proof = [first_root, *proof]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = sha(b"\x01", c, fr), sha(b"\x01", c, sr)
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha(b"\x01", sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


def open_checkpoint(note: str, verifier: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that the key `name+hash+base64` has signed."""
    name, key_hash, encoded = verifier.split("+", 2)
    public = base64.b64decode(encoded)
    assert public[0] == 1
    key_id = hashlib.sha256(name.encode() + b"\x0a\x01" + public[1:]).digest()[:4]
    assert key_id.hex() == key_hash
    end = note.rindex("\n\n")
    text, signatures = note[: end + 1], note[end + 2 :]
    assert signatures.endswith("\n")
    for line in signatures[:-1].split("\n"):
        dash, signer, signature = line.split(" ")
        assert dash == "\u2014"
        raw = base64.b64decode(signature)
        if signer == name and raw[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
            except InvalidSignature:
                raise AssertionError("the signature does not hold") from None
            origin, size, root = text.split("\n")[:3]
            return origin, int(size), base64.b64decode(root)
    raise AssertionError("no signature of this key")


def proof_holds(document: str, verifier: str) -> bool:
    """Whether a proof that rotator wrote holds, by the rules above alone."""
    told: dict[str, Any] = json.loads(document)
    path = [base64.b64decode(each) for each in told["hashes"]]
    if told["proves"] == "inclusion":
        _, size, root = open_checkpoint(told["checkpoint"], verifier)
        return includes(told["leaf"].encode(), told["sequence"] - 1, size, path, root)
    _, first, first_root = open_checkpoint(told["old"], verifier)
    _, second, second_root = open_checkpoint(told["new"], verifier)
    return extends(first, first_root, second, second_root, path)
