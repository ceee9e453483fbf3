"""A rule, and what it found: where, why it matters, and the command or patch that mends it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rotator.domain.reasons import ReasonCode
from rotator.domain.risk import Risk

FINGERPRINT_LENGTH: Final = 32


class Topic(StrEnum):
    """What a rule is about. A topic that could not be read keeps its findings as they were."""

    CONFIG = "config"
    SECRETS = "secrets"
    TOKENS = "tokens"
    PEERS = "peers"
    PEOPLE = "people"
    NETWORK = "network"
    CERTIFICATES = "certificates"
    IMAGES = "images"
    MACHINES = "machines"
    ROTATOR = "rotator"


@dataclass(frozen=True)
class Rule:
    """One rule. `id` is for suppressions, baselines and SARIF, and never changes its meaning.

    `why` is what goes wrong where it is not kept, in a sentence or two; `mend` is what to do in
    general, a finding has the exact command; `page` is the address of Fly's own documentation.
    """

    id: str
    topic: Topic
    risk: Risk
    title: str
    why: str
    mend: str
    page: str


@dataclass(frozen=True)
class Region:
    """A place in a file. Lines and columns count from 1; the end is exclusive, as in SARIF."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Finding:
    """What a rule found at one subject.

    `subject` names it for ever, without lines or times: `token:web/ci`, `secret:web/API_KEY`,
    `machine:web/148e…`, `fly.toml#env.API_KEY`. `message` says what is wrong there, with the facts;
    it never holds a value. `mend` is the exact command or patch. `risk` is the rule's where it is
    None.
    """

    rule: Rule
    subject: str
    message: str
    mend: str
    organization: str = ""
    app: str = ""
    region: Region | None = None
    risk: Risk | None = None

    @property
    def severity(self) -> Risk:
        """How bad it is here."""
        return self.rule.risk if self.risk is None else self.risk

    @property
    def fingerprint(self) -> str:
        """The same for as long as the same thing is wrong at the same subject."""
        parts = (self.rule.id, self.organization, self.app, self.subject)
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:FINGERPRINT_LENGTH]


@dataclass(frozen=True)
class Missing:
    """A part that could not be read: its findings are unknown, not resolved. `app` "" is all."""

    topic: Topic
    organization: str
    app: str
    why: str


@dataclass(frozen=True)
class RotationWish:
    """A rotation that the policy asks for because of a finding. An inspector only says so: the
    daily job begins it (`engine.posture.wishes`).

    `reason` is for people, and the same for as long as the cause is: no second one is begun then.
    """

    credential: str
    code: ReasonCode
    reason: str


@dataclass(frozen=True)
class Inspected:
    """What an inspector found, what it could not look at, and what the policy asks for."""

    findings: tuple[Finding, ...] = ()
    missing: tuple[Missing, ...] = ()
    wishes: tuple[RotationWish, ...] = ()
