"""What proves who is calling: a function key, or a token of Microsoft Entra ID."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Protocol

import httpx


class TokenCredential(Protocol):
    """Anything that gives tokens as `azure-identity` does."""

    def get_token(self, *scopes: str) -> Any:
        """A token with `token` and `expires_on` (seconds since 1970)."""


class ServiceAuth(httpx.Auth):
    """Adds the proof to calls of one origin, and to no other."""

    def __init__(self, base_url: str, key: str | None, credential: TokenCredential | None, scope: str | None) -> None:
        self._origin = _origin(httpx.URL(base_url))
        self._key = key
        self._credential = credential
        self._scope = scope
        self._token: Any = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Signs a request."""
        if _origin(request.url) == self._origin:
            if self._key:
                request.headers["x-functions-key"] = self._key
            if self._credential:
                request.headers["Authorization"] = f"Bearer {self._bearer(self._credential)}"
        yield request

    def _bearer(self, credential: TokenCredential) -> str:
        # Five minutes: tokens live an hour, and a long upload must not outlive its own.
        if self._token is None or self._token.expires_on < time.time() + 300:
            if not self._scope:
                raise ValueError("a credential needs scope=, for example api://<application id>/.default")
            self._token = credential.get_token(self._scope)
        return str(self._token.token)

    def __repr__(self) -> str:
        return "ServiceAuth(…)"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
