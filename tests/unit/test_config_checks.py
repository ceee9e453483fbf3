"""The rules on files hold for whatever stands in a file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.config_files.dockerfile_form import read_dockerfile
from rotator.config_files.json_form import read_json
from rotator.config_files.toml_form import read_toml
from rotator.domain.posture.config_checks import check_files
from rotator.domain.posture.config_checks_dockerfile import Build
from rotator.domain.posture.config_file import ConfigFile, ConfigForm
from rotator.domain.posture.finding import Finding
from rotator.domain.risk import Risk
from tests.unit.secret_corpus import NOW

_KEYS = st.sampled_from(
    [
        "app",
        "env",
        "build",
        "args",
        "settings",
        "image",
        "dockerfile",
        "deploy",
        "release_command",
        "processes",
        "http_service",
        "force_https",
        "internal_port",
        "services",
        "ports",
        "port",
        "start_port",
        "end_port",
        "handlers",
        "tls_options",
        "versions",
        "default_self_signed",
        "checks",
        "http_checks",
        "machine_checks",
        "headers",
        "command",
        "files",
        "raw_value",
        "local_path",
        "guest_path",
        "restart",
        "policy",
        "retries",
        "experimental",
        "cmd",
        "API_TOKEN",
        "DATABASE_URL",
        "DEBUG",
    ]
)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 70_000), st.sampled_from(
        ["http", "tls", "always", "443", "80", "TLSv1", "web", "a@b://c:dddddd@e.f", "x" * 40, ""]
    ),
)  # fmt: skip
_TREES = st.recursive(
    _VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(data=st.dictionaries(_KEYS, _TREES, max_size=6))
def test_no_shape_of_a_configuration_breaks_the_rules(data: dict[str, object]) -> None:
    file = ConfigFile("fly.json", ConfigForm.JSON, read_json(json.dumps(data)))
    found = check_files([file], [], NOW)
    assert len({finding.fingerprint for finding in found}) == len(found)


def of_toml(text: str) -> list[Finding]:
    return list(check_files([ConfigFile("fly.toml", ConfigForm.TOML, read_toml(text))], [], NOW))


def of_dockerfile(text: str) -> list[Finding]:
    return list(check_files([], [Build(read_dockerfile(text, "Dockerfile"))], NOW))


def test_a_subject_stays_the_same_when_another_service_is_put_before_it() -> None:
    service = "[[services]]\ninternal_port = 5432\n[[services.ports]]\nport = 5432\n"
    other = "[[services]]\ninternal_port = 8080\n[[services.ports]]\nport = 443\n"
    alone, behind = of_toml(service), of_toml(other + service)
    assert [finding.fingerprint for finding in alone] == [f.fingerprint for f in behind]
    assert alone[0].region != behind[0].region


@pytest.mark.parametrize(
    ("text", "risk"),
    [
        ("FROM node:22@sha256:1\n", Risk.MEDIUM),
        ("FROM docker.io/library/node:22@sha256:1\n", Risk.MEDIUM),
        ("FROM registry.acme.net/base@sha256:1\n", Risk.LOW),
        ("FROM registry.acme.net/base@sha256:1\nUSER root\n", Risk.MEDIUM),
        ("FROM gcr.io/distroless/static:nonroot@sha256:1\n", None),
        ("ARG BASE\nFROM ${BASE}\n", None),
        ("FROM node@sha256:1\nUSER 0:0\n", Risk.MEDIUM),
        ("FROM node@sha256:1\nARG UID=1000\nUSER $UID\n", None),
        ("FROM node@sha256:1\nENV APP_USER=root\nUSER ${APP_USER}\n", Risk.MEDIUM),
        ("FROM node@sha256:1\nUSER root\nRUN true\nUSER app\n", None),
        ('FROM node@sha256:1\nENTRYPOINT ["gosu", "app", "server"]\n', None),
    ],
)
def test_who_runs_an_image_is_read_from_its_last_user_or_base(text: str, risk: Risk | None) -> None:
    found = [f for f in of_dockerfile(text) if f.rule.id == "dockerfile-runs-as-root"]
    assert [finding.severity for finding in found] == ([] if risk is None else [risk])


@pytest.mark.parametrize(
    ("image", "risk"),
    [
        ("node", Risk.MEDIUM),
        ("node:latest", Risk.MEDIUM),
        ("node:22-slim", Risk.LOW),
        ("registry.acme.net:5000/web", Risk.MEDIUM),
        ("registry.acme.net:5000/web:1.2", Risk.LOW),
        ("node:22@sha256:1", None),
        ("scratch", None),
    ],
)
def test_an_image_by_tag_is_worse_where_the_tag_is_meant_to_move(
    image: str, risk: Risk | None
) -> None:
    found = [f for f in of_dockerfile(f"FROM {image}\nUSER 1\n") if "tag" in f.rule.id]
    assert [finding.severity for finding in found] == ([] if risk is None else [risk])


def test_an_image_that_files_are_copied_from_counts_too() -> None:
    text = (
        "FROM python@sha256:1 AS build\nCOPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/\n"
        "FROM python@sha256:1\nCOPY --from=build /a /a\nCOPY --from=0 /b /b\nUSER 1\n"
    )
    (finding,) = of_dockerfile(text)
    assert finding.subject == "Dockerfile#FROM.ghcr.io/astral-sh/uv:0.9"
    assert finding.region is not None
    assert finding.region.line == 2
