"""Tokens that may run certain commands in the machines of one app."""

# ruff: noqa: ARG002 - the base class passes more than this kind needs
from __future__ import annotations

from typing import Final

from rotator.domain.fields import Params, texts
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.kinds.limited_token import DEPLOY, LimitedTokenKind
from rotator.kinds.narrowing import (
    COMMAND_PREFIXES,
    COMMANDS,
    Command,
    commands_caveat,
    parse_commands,
    runs,
)

ANY_COMMAND: Final[Command] = ((), False)


class MachineExecTokenKind(LimitedTokenKind):
    """A deploy token that may run commands and read, as `fly tokens create machine-exec` makes it.

    Without `commands` and `command_prefixes`, any command. None is run when it is proven.
    """

    name = "machine-exec-token"
    profile = DEPLOY
    own_fields = (COMMANDS, COMMAND_PREFIXES)
    narrows = ("window", "until")

    def commands(self, params: Params) -> tuple[Command, ...]:
        """What may be run."""
        exact, prefixes = texts(params, "commands"), texts(params, "command_prefixes")
        return parse_commands(exact, prefixes) or (ANY_COMMAND,)

    def copies(self, params: Params, organization: int) -> tuple[tuple[c.Caveat, ...], ...]:
        """The commands where one is run, else reading."""
        return ((c.caveat(c.IF_PRESENT, [commands_caveat(self.commands(params))], c.READ),),)

    def permits(self, params: Params, access: Access) -> bool:
        """The commands, and reading."""
        if access.command is not None:
            return runs(self.commands(params), access.command)
        return access.action & ~c.READ == 0
