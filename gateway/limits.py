"""Limits: of each user on what costs most, and of each address that comes without a valid token."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import flask

from plumbing import errors
from plumbing.limits import Limiter, Rate, Verdict
from plumbing.tokens import Caller

_EXTENSION: Final = "limits"
_WITH_PORT: Final = re.compile(r"\[(.+)\](?::\d+)?|([0-9.]+):\d+")


@dataclass(frozen=True, slots=True)
class Limits:
    limiter: Limiter
    user: Rate
    address: Rate
    is_address_for_all: bool
    """Also callers with a valid token count against their address."""


def install(app: flask.Flask, limits: Limits) -> None:
    app.extensions[_EXTENSION] = limits
    app.after_request(_tell)


def count_user(caller: Caller) -> None:
    """Count a request of a user, with whatever token. Raises ResourceExhausted."""
    limits: Limits = flask.current_app.extensions[_EXTENSION]
    _judge(limits.limiter.hit(limits.user, "user", f"{caller.tenant}\n{caller.subject}"))


def count_address(*, has_valid_token: bool) -> None:
    """Count a request of an address. Raises ResourceExhausted."""
    limits: Limits = flask.current_app.extensions[_EXTENSION]
    if has_valid_token and not limits.is_address_for_all:
        return
    _judge(limits.limiter.hit(limits.address, "address", _network(flask.request.remote_addr or "")))


def _judge(verdict: Verdict) -> None:
    flask.g.verdict = verdict
    if not verdict.is_allowed:
        raise errors.ResourceExhausted(
            f"more than {verdict.rate.limit} requests in {verdict.rate.window_s} seconds",
            retry_after_s=verdict.reset_s,
        )


def _tell(response: flask.Response) -> flask.Response:
    verdict: Verdict | None = flask.g.get("verdict")
    if verdict is not None:
        response.headers.update(verdict.headers())
    return response


def _network(address: str) -> str:
    """Give what one household has: an address, or of IPv6 a /64. Proxies may add a port."""
    with_port = _WITH_PORT.fullmatch(address)
    try:
        found = ipaddress.ip_address(with_port[1] or with_port[2] if with_port else address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    # An IPv4 address, as a socket that takes both kinds writes it.
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
