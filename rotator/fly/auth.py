"""The Authorization header, one form for each of Fly's APIs (FACTS.md 1).

A token text may hold several members: macaroons, their discharges, and a user's opaque token.
"""

from __future__ import annotations

from rotator.domain.errors import InputError
from rotator.domain.secret import Secret
from rotator.fly.macaroon import MacaroonError, decode_header, is_macaroon, split_header


def machines_authorization(token: Secret) -> Secret:
    """For the Machines API: only the macaroons if there are any, else the opaque tokens."""
    macaroons, others = _members(token)
    return _header(macaroons or others, flyv1=bool(macaroons))


def graphql_authorization(token: Secret) -> Secret:
    """For GraphQL: macaroons, then opaque tokens; it is the one API that takes both."""
    macaroons, others = _members(token)
    return _header([*macaroons, *others], flyv1=bool(macaroons))


def releases_authorization(token: Secret) -> Secret:
    """For the REST API of releases: always `Bearer`, whatever the members are (flyctl does so)."""
    macaroons, others = _members(token)
    return _header([*macaroons, *others], flyv1=False)


def check_token(token: Secret) -> None:
    """See that the text is a token at all.

    Raises:
        InputError: it is empty or a macaroon in it was cut.
    """
    try:
        members = split_header(token.reveal())
        decode_header(token.reveal())
    except MacaroonError as error:
        raise InputError(
            f"this is no whole token: {error}",
            where="FLY_API_TOKEN",
            next_step="copy it again, all of it, or make a new one with `fly tokens create org`",
        ) from None
    if not members or not all(member.isascii() and member.isprintable() for member in members):
        raise InputError(
            "there is no token in it",
            where="FLY_API_TOKEN",
            next_step="make one with `fly tokens create org`",
        )


def _members(token: Secret) -> tuple[list[str], list[str]]:
    members = split_header(token.reveal())
    macaroons = [member for member in members if is_macaroon(member)]
    return macaroons, [member for member in members if not is_macaroon(member)]


def _header(members: list[str], *, flyv1: bool) -> Secret:
    return Secret(f"{'FlyV1' if flyv1 else 'Bearer'} {','.join(members)}")
