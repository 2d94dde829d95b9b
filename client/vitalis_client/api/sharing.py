"""Sharing as Python: `Vitalis.sharing`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import GetSharingTermsResponse, Grant, ReceivedGrant


class Sharing(Area):
    """Gives other people access to one's data, takes it back, and takes what they give.

    Methods raise VitalisError, as those of Vitalis do.
    """

    def terms(self) -> GetSharingTermsResponse:
        """What one agrees to by sharing: a text to show, and the version to send."""
        return self._http.get(routes.GET_SHARING_TERMS)

    def offer(
        self,
        email: str,
        scopes: Sequence[str],
        *,
        consent_version: str,
        relation: str = "person",
        until: datetime | None = None,
        note: str = "",
    ) -> Grant:
        """Offers access to whoever has an address, who gets a token by mail.

        `until` is an aware datetime; without it there is no end. GRANT_EXISTS,
        GRANT_LIMIT, SHARING_TERMS_OUTDATED.
        """
        grant: dict[str, Any] = {
            "grantee_email": email,
            "scopes": list(scopes),
            "relation": relation,
            "consent_version": consent_version,
        }
        if until:
            grant["expires_at"] = until.isoformat()
        if note:
            grant["note"] = note
        return self._http.post(routes.CREATE_GRANT, grant)

    def given(self) -> Iterator[Grant]:
        """What one has offered and given, what has ended too, the newest first."""
        return self._http.pages(routes.LIST_GRANTS, {}, lambda page: page.grants)

    def received(self) -> Iterator[ReceivedGrant]:
        """What others have given, what has ended too, the newest first."""
        return self._http.pages(routes.LIST_RECEIVED_GRANTS, {}, lambda page: page.received_grants)

    def narrow(self, grant_id: str, scopes: Sequence[str]) -> Grant:
        """Leaves a grant fewer scopes. GRANT_ENDED if it has ended."""
        return self._http.call(routes.UPDATE_GRANT, {"id": grant_id}, repeat=True, json={"scopes": list(scopes)})

    def revoke(self, grant_id: str) -> Grant:
        """Takes a grant back; it gives nothing any more within 30 seconds."""
        return self._http.post(routes.REVOKE_GRANT, {}, id=grant_id)

    def accept(self, token: str) -> ReceivedGrant:
        """Accepts what was offered by mail. GRANT_TOKEN_INVALID, GRANT_EXISTS, COACH_ROLE_NEEDED."""
        return self._http.post(routes.ACCEPT_GRANT, {"token": token})

    def decline(self, token: str) -> None:
        """Turns down what was offered by mail. GRANT_TOKEN_INVALID."""
        self._http.post(routes.DECLINE_GRANT, {"token": token})

    def leave(self, grant_id: str) -> None:
        """Gives up what somebody gave."""
        self._http.post(routes.LEAVE_GRANT, {}, id=grant_id)
