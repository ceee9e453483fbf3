"""Options and arguments that are names: held against Fly's rules as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

from rotator.domain.errors import InputError
from rotator.domain.names import wrong_app, wrong_machine, wrong_organization, wrong_region

T = TypeVar("T", str, None, list[str])


def held_against(rule: Callable[[str], str | None]) -> Callable[[typer.CallbackParam, T], T]:
    """A callback for typer.

    Raises:
        InputError: the value is no such name; told with the option that it was given to.
    """

    def check(param: typer.CallbackParam, value: T) -> T:
        given: list[str] = [value] if isinstance(value, str) else value or []
        for each in given:
            problem = rule(each)
            if problem is not None:
                raise InputError(problem, where=max(param.opts, key=len))
        return value

    return check


app_name = held_against(wrong_app)
organization_slug = held_against(wrong_organization)
region_code = held_against(wrong_region)
machine_id = held_against(wrong_machine)
