"""What senders say of leaks, read into `Report`s. Fields that are not known here are passed over.

GitHub: the events `secret_scanning_alert` and `secret_scanning_alert_location`, which tell the
number of an alert but not its value, and requests to bypass push protection (GitHub's "Webhook
events and payloads"). Everybody else: one object or a list of them, in the field names of secret
scanners (GitHub's partners, Gitleaks, TruffleHog), or any JSON with a token of Fly's in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import orjson
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from rotator.domain.hook import GithubAlert, HookFormat, Report
from rotator.domain.secret import Secret
from rotator.redaction import kept
from rotator.validated import CredentialName

MOST_REPORTS: Final = 50
MOST_NODES: Final = 20_000
DEEPEST: Final = 32
VALUE_BYTES: Final = 16 * 1024
PLACE_MAX: Final = 200
SORT_MAX: Final = 100
PING: Final = "ping"
_ALERTS: Final = frozenset({"secret_scanning_alert", "secret_scanning_alert_location"})
_LEAKED: Final = frozenset({"created", "reopened", "publicly_leaked", "validated"})
"""Actions after which somebody has the value. The others (`resolved`, `assigned`, …) are news of a
person's."""
_BYPASSES: Final = frozenset(
    {"bypass_request_secret_scanning", "exemption_request_secret_scanning"}
)
_TOKEN: Final = r"(?:fm2_|fm1[ar]_|fo1_)[A-Za-z0-9/+_=-]{16,}"  # noqa: S105 - the form of one
_TOKENS: Final = re.compile(rf"(?:FlyV1 )?{_TOKEN}(?:,\s*{_TOKEN})*")
_REPOSITORY: Final = r"^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$"
_LISTS: Final = ("tokens", "secrets", "alerts", "findings", "results", "leaks", "data")


class MalformedPayload(Exception):
    """The body can't be taken. The message names no part of it."""


def _texts_only(value: object) -> object:
    """Other types in a place for texts are nothing of ours."""
    return value if isinstance(value, str) else ""


_Text = Annotated[str, BeforeValidator(_texts_only)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _Repository(_Model):
    full_name: str = Field(pattern=_REPOSITORY)


class _GithubAlert(_Model):
    number: int = Field(ge=1, le=2**53)
    secret_type: _Text = ""
    secret: SecretStr | None = None
    push_protection_bypassed: bool | None = None


class _Details(_Model):
    path: _Text = ""
    start_line: int | None = None


class _Location(_Model):
    type: _Text = ""
    details: _Details = _Details()


class _GithubEvent(_Model):
    action: _Text = ""
    alert: _GithubAlert
    repository: _Repository
    location: _Location | None = None


class _Request(_Model):
    number: int | None = None
    requester_login: _Text = ""


class _BypassEvent(_Model):
    action: _Text = ""
    repository: _Repository
    exemption_request: _Request = _Request()


class _Leak(_Model):
    value: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("token", "secret", "value", "Secret", "Raw"),
    )
    credential: CredentialName | None = None
    sort: _Text = Field(
        default="",
        validation_alias=AliasChoices("type", "secret_type", "sort", "RuleID", "DetectorName"),
    )
    place: _Text = Field(
        default="", validation_alias=AliasChoices("url", "place", "location", "source", "File")
    )

    @field_validator("credential", mode="wrap")
    @classmethod
    def _or_none(cls, value: object, read: ValidatorFunctionWrapHandler) -> object:
        """What can't be a credential's name is some other tool's word for something else."""
        try:
            return read(value)
        except ValidationError:
            return None


def read_reports(hook: HookFormat, event: str, body: bytes) -> Sequence[Report]:
    """The leaks that a proven request tells of. None where it tells of something else.

    Raises:
        MalformedPayload: it is no JSON, too deep, or lacks what its event has.
    """
    data = _json(body)
    try:
        found = _github(event, data) if hook is HookFormat.GITHUB else _generic(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part in _FIELDS)
        raise MalformedPayload(f"a field is missing or wrong: {where or 'its form'}") from None
    if len(found) > MOST_REPORTS:
        raise MalformedPayload(f"more than {MOST_REPORTS} leaks in one request")
    return found


_FIELDS: Final = frozenset({"alert", "number", "repository", "full_name", "action"})
"""Names that may be said back: all others could be a sender's own text."""


def _json(body: bytes) -> Any:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedPayload("the body is not JSON in UTF-8") from None
    for _ in _texts(data):
        pass
    return data


def _github(event: str, data: object) -> Sequence[Report]:
    if event in _BYPASSES:
        return _bypass(_BypassEvent.model_validate(data))
    if event not in _ALERTS:
        return ()
    told = _GithubEvent.model_validate(data)
    if told.action not in _LEAKED:
        return ()
    number, repository = told.alert.number, told.repository.full_name
    value = _secret(told.alert.secret)
    place = f"{repository}, secret scanning alert {number}"
    if told.location is not None and told.location.details.path:
        line = told.location.details.start_line
        place += f", {told.location.details.path}" + (f" line {line}" if line else "")
    if told.alert.push_protection_bypassed:
        place += ", pushed past the protection"
    source = None if value is not None else GithubAlert(repository, number)
    sort = told.alert.secret_type
    return (Report(value, _clean(place, value, PLACE_MAX), _clean(sort, value, SORT_MAX), source),)


def _bypass(told: _BypassEvent) -> Sequence[Report]:
    if told.action != "created":
        return ()
    request = told.exemption_request
    place = f"{told.repository.full_name}, request to bypass push protection {request.number or ''}"
    place += f" by {request.requester_login}" if request.requester_login else ""
    return (Report(None, _clean(place, None, PLACE_MAX), only_told=True),)


def _generic(data: object) -> Sequence[Report]:
    found = [report for each in _items(data) if (report := _report(each)) is not None]
    if found:
        return found
    tokens = dict.fromkeys(m.group() for text in _texts(data) for m in _TOKENS.finditer(text))
    return [Report(Secret(token)) for token in tokens]


def _items(data: object) -> Iterator[dict[str, Any]]:
    """The objects that may each be a leak: the list, the one object, or what it holds."""
    level = data
    for _ in range(3):
        if isinstance(level, list):
            yield from (each for each in level if isinstance(each, dict))
            return
        if not isinstance(level, dict):
            return
        yield level
        level = next(
            (level[key] for key in _LISTS if isinstance(level.get(key), list | dict)), None
        )


def _report(data: dict[str, Any]) -> Report | None:
    texts = {key: each for key, each in data.items() if isinstance(each, str)}
    leak = _Leak.model_validate(texts)
    value = _secret(leak.value)
    named = leak.credential if value is None else None
    if value is None and named is None:
        return None
    place, sort = _clean(leak.place, value, PLACE_MAX), _clean(leak.sort, value, SORT_MAX)
    return Report(value, place, sort, named)


def _secret(value: SecretStr | None) -> Secret | None:
    text = value.get_secret_value().strip() if value is not None else ""
    if len(text.encode()) > VALUE_BYTES:
        raise MalformedPayload(f"a value has more than {VALUE_BYTES} bytes")
    return Secret(text) if text else None


def _clean(text: str, value: Secret | None, longest: int) -> str:
    """A sender's text, fit to be kept: one line, bounded, without what could be a value."""
    line = kept(" ".join(text.split()))
    if value is not None and value.reveal() in text:
        return ""
    return line[:longest]


def _texts(data: object) -> Iterator[str]:
    """All texts of a document.

    Raises:
        MalformedPayload: it is too deep or has too many parts.
    """
    waiting: list[tuple[object, int]] = [(data, 0)]
    for _ in range(MOST_NODES):
        if not waiting:
            return
        node, depth = waiting.pop()
        if depth > DEEPEST:
            break
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            waiting += [(each, depth + 1) for each in node.values()]
        elif isinstance(node, list):
            waiting += [(each, depth + 1) for each in node]
    raise MalformedPayload("the body has too many parts, or is too deep")
