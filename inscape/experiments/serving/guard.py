"""Who may ask the viewer: this machine's browser, on the page that it was given, with the token of this process."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ADDRESS = "127.0.0.1"
"""The only interface that is listened on."""

TOKEN_HEADER = "X-Inscape-Token"

BODY_BYTES = 1 << 20
"""Largest body of a request."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused, as an HTTP status with a sentence."""

    status: int
    reason: str


@dataclass(frozen=True)
class Guard:
    """Checks every request before anything else reads it.

    A page of another site that a browser has open can send requests to 127.0.0.1 too, also by a name of its own that
    resolves there (DNS rebinding). Against both stand the token, which no other page knows, and the names in `Host` and
    `Origin`, which a page cannot choose (https://owasp.org/www-community/attacks/csrf).

    Attributes:
        token: secret of this process.
        port: that is listened on.
    """

    token: str
    port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """What `Host` may say."""
        return (f"{ADDRESS}:{self.port}", f"localhost:{self.port}")

    def refusal(
        self, method: str, headers: Mapping[str, Sequence[str]], token: str | None, has_body: bool
    ) -> Refusal | None:
        """Returns why a request is refused, or None.

        Args:
            method: GET or POST; every other is refused.
            headers: lower-case name → the values given under it.
            token: that of the address, if it has one; the header's counts first.
            has_body: whether a body was announced.
        """
        if method not in ("GET", "POST"):
            return Refusal(405, "only GET and POST are served")
        named = headers.get("host", ())
        if len(named) != 1 or named[0].lower() not in self.hosts:
            return Refusal(403, "the request names another host")
        origins = headers.get("origin", ())
        if len(origins) > 1 or (origins and origins[0].lower() not in {f"http://{host}" for host in self.hosts}):
            return Refusal(403, "the request comes from another site's page")
        if any(site not in ("same-origin", "none") for site in headers.get("sec-fetch-site", ())):
            return Refusal(403, "the request comes from another site's page")
        if method == "POST" and not origins:
            return Refusal(403, "a request that changes something names no origin")
        given = [*headers.get(TOKEN_HEADER.lower(), ()), *([] if token is None else [token])]
        if not given or not all(hmac.compare_digest(one.encode(), self.token.encode()) for one in given):
            return Refusal(403, "the token is missing or wrong: open the address that inscape view printed")
        if method == "GET" and has_body:
            return Refusal(400, "GET with a body")
        return None

    def body_refusal(self, headers: Mapping[str, Sequence[str]]) -> Refusal | None:
        """Returns why the body of a POST is not read, or None."""
        if headers.get("transfer-encoding"):
            return Refusal(411, "a body without Content-Length")
        lengths = headers.get("content-length", ())
        if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            return Refusal(411, "a body without Content-Length")
        if len(lengths[0]) > 9 or int(lengths[0]) > BODY_BYTES:
            return Refusal(413, f"a body above {BODY_BYTES} bytes")
        kinds = headers.get("content-type", ())
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
            return Refusal(415, "a body that is not application/json")
        return None
