"""The one command that gives rotator a token again."""

from __future__ import annotations

import pytest

from rotator.cli.mending import new_token_command


def test_it_is_for_where_rotator_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLY_APP_NAME", raising=False)
    make = "fly tokens create org --org acme --name rotator --expiry 720h"
    assert new_token_command("acme") == f'export FLY_API_TOKEN="$({make})"'
    monkeypatch.setenv("FLY_APP_NAME", "keeper")
    on_fly = f'fly secrets set --app keeper FLY_API_TOKEN="$({make})"'
    assert new_token_command("acme") == on_fly
