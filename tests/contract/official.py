"""Fly's official descriptions, beside the repository, and a checker for the one of REST."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from graphql import GraphQLSchema, build_schema

FLY = Path(__file__).resolve().parents[2].parent / "shared" / "fly"


def file(name: str) -> Path:
    """One of the descriptions. Skips the test where it is absent."""
    path = FLY / name
    if not path.exists():
        pytest.skip(f"Fly's {name} is not beside this repository")
    return path


@cache
def _schema(path: Path) -> GraphQLSchema:
    return build_schema(path.read_text("utf-8"))


def graphql_schema() -> GraphQLSchema:
    """The official GraphQL schema."""
    return _schema(file("schema.graphql"))


@cache
def _description(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


class RestContract:
    """The official description of the Machines API, held against calls and answers."""

    def __init__(self) -> None:
        self._description = _description(file("machines-openapi.json"))

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """The operation that a request is; fails for one that does not exist."""
        for template, operations in self._description["paths"].items():
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(f"/v1{pattern}", path) and method.lower() in operations:
                found: dict[str, Any] = operations[method.lower()]
                return found
        raise AssertionError(f"{method} {path} is not in the official description")

    def check_request(
        self, method: str, path: str, query: dict[str, str], body: object, *, more: set[str]
    ) -> None:
        """Query and body are as described; `more` are query names that it does not have."""
        operation = self.operation(method, path)
        known = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        unknown = set(query) - set(known) - more
        assert not unknown, f"{method} {path}: the query has {unknown}"
        for name, value in query.items():
            allowed = known.get(name, {}).get("schema", {}).get("enum")
            assert allowed is None or value in allowed, f"{name}={value} is none of {allowed}"
        if body is None:
            return
        content = operation["requestBody"]["content"]["application/json"]["schema"]
        self._check(body, content, closed=True)

    def check_answer(
        self, method: str, path: str, status: int, body: object, *, envelope: bool
    ) -> None:
        """A success has the described status and shape. `envelope` unwraps a lease's `data`."""
        responses = self.operation(method, path)["responses"]
        assert str(status) in responses, f"{method} {path} does not answer {status}"
        if envelope and isinstance(body, dict) and "data" in body:
            body = body["data"]
        schema = responses[str(status)].get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            self._check(body, schema, closed=False)

    def _check(self, value: object, schema: dict[str, Any], *, closed: bool) -> None:
        """Validate; `closed` also refuses fields of the top level that are not described."""
        whole = {**schema, "components": self._description["components"]}
        jsonschema.validate(value, whole)
        if closed and isinstance(value, dict):
            resolved = self._resolve(schema)
            unknown = set(value) - set(resolved.get("properties", {}))
            assert not unknown, f"not in the official description: {unknown}"

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema
