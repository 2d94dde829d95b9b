"""Flows that have begun: what is remembered of one until the browser comes back."""

import hmac
from collections.abc import Mapping
from datetime import datetime

from services.identity.oauth.flow import Flow
from services.identity.oauth.providers import Provider
from services.identity.oauth.relying_party import Person, RelyingParty
from services.identity.oauth.tables import BEGIN, FORGET, TAKE
from services.identity.oauth.web import Web
from services.identity.users import timestamp
from services.kit.database import Database
from services.kit.errors import ServiceError
from vitalis.identity.v1 import oauth_pb2 as pb


class Flows:
    """Begins and ends flows at the configured providers. Asks no provider while a transaction is open."""

    def __init__(self, database: Database, providers: Mapping[str, Provider]) -> None:
        self._database = database
        web = Web()
        self._parties = {name: RelyingParty(name, provider, web) for name, provider in providers.items()}

    async def begin(self, name: str, redirect_uri: str, linking: str = "") -> pb.Authorization:
        """What the client needs; `linking` is the person who links.

        Raises OAUTH_PROVIDER_UNKNOWN, OAUTH_REDIRECT_NOT_ALLOWED, UNAVAILABLE.
        """
        flow = Flow.begin(linking)
        url = await self._party(name).start(flow, redirect_uri)
        row = {
            "state_sha256": flow.state_sha256,
            "binding_sha256": flow.binding_sha256,
            "provider": name,
            "redirect_uri": redirect_uri,
        }
        async with self._database.transaction() as connection:
            expires_at: datetime = (await connection.execute(BEGIN, row)).scalar_one()
        return pb.Authorization(
            authorization_url=url, state=flow.state, binding=flow.binding, expires_at=timestamp(expires_at)
        )

    async def end(self, name: str, flow: Flow, code: str, issuer: str) -> Person:
        """Who came back. The state is used up, whatever comes of it.

        Raises OAUTH_PROVIDER_UNKNOWN, OAUTH_STATE_INVALID, OAUTH_REFUSED, UNAVAILABLE.
        """
        party = self._party(name)
        async with self._database.transaction() as connection:
            row = (await connection.execute(TAKE, {"state_sha256": flow.state_sha256})).one_or_none()
        # Another client's code in this client is how somebody is logged in as somebody else.
        if row is None or row.provider != name or not hmac.compare_digest(row.binding_sha256, flow.binding_sha256):
            raise ServiceError("OAUTH_STATE_INVALID", "the log-in has to begin again")
        return await party.finish(flow, code, issuer, row.redirect_uri)

    async def forget(self) -> None:
        """Forgets the flows that nobody ended in time."""
        async with self._database.transaction() as connection:
            await connection.execute(FORGET)

    def _party(self, name: str) -> RelyingParty:
        if name not in self._parties:
            raise ServiceError("OAUTH_PROVIDER_UNKNOWN", "there is no such identity provider")
        return self._parties[name]
