"""Names as pydantic types: a model that has a field of one takes nothing else.

The rules are those of `domain.names`; the error is their sentence, without the input repeated by
pydantic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from rotator.domain import names


def _by(rule: Callable[[str], str | None]) -> AfterValidator:
    def checked(value: str) -> str:
        problem = rule(value)
        if problem is not None:
            raise ValueError(problem)
        return value

    return AfterValidator(checked)


def _host(value: str) -> str:
    problem = names.wrong_host(value)
    if problem is not None:
        raise ValueError(problem)
    return names.host_name(value)


AppName = Annotated[str, _by(names.wrong_app)]
OrganizationSlug = Annotated[str, _by(names.wrong_organization)]
NetworkName = Annotated[str, _by(names.wrong_network)]
RegionCode = Annotated[str, _by(names.wrong_region)]
SizeName = Annotated[str, _by(names.wrong_size)]
SecretName = Annotated[str, _by(names.wrong_secret)]
PeerName = Annotated[str, _by(names.wrong_peer)]
TokenName = Annotated[str, _by(names.wrong_token)]
CredentialName = Annotated[str, _by(names.wrong_credential)]
MachineId = Annotated[str, _by(names.wrong_machine)]
VolumeId = Annotated[str, _by(names.wrong_volume)]
InstanceId = Annotated[str, _by(names.wrong_instance)]
ImageReference = Annotated[str, _by(names.wrong_image)]
HostName = Annotated[str, AfterValidator(_host)]
"""As the DNS has it: lowercase, IDNA, without a dot at its end."""
