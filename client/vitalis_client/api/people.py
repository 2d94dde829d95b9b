"""Who a person is, and their household: a part of `Vitalis`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import (
    Account,
    AccountInvitation,
    AuditEntry,
    ListAuditTrailResponse,
    Preferences,
    User,
)


class People(Area):
    """The person, their preferences, their audit trail and their household."""

    def me(self) -> User:
        """Who is logged in."""
        return self._http.get(routes.GET_USER)

    def update_profile(self, *, clear: Sequence[str] = (), **values: Any) -> User:
        """Changes fields of the profile: `update_profile(username="ada", clear=["bio"])`. USERNAME_TAKEN."""
        return self._http.patch(routes.UPDATE_USER, values, clear)

    def preferences(self) -> Preferences:
        """Units, time zone, notifications and dashboard."""
        return self._http.get(routes.GET_PREFERENCES)

    def update_preferences(self, *, clear: Sequence[str] = (), **values: Any) -> Preferences:
        """Changes preferences: `update_preferences(weight_unit="kg")`; what is cleared goes back to its default."""
        return self._http.patch(routes.UPDATE_PREFERENCES, values, clear)

    def audit_trail(
        self,
        *,
        action: str = "",
        table_name: str = "",
        grant: str = "",
        page_size: int = 0,
        on_missing: Callable[[Sequence[str]], object] | None = None,
    ) -> Iterator[AuditEntry]:
        """What was done with the person's data and by whom: all, or an action such as `LOGIN`, a table, a grant.

        `on_missing(services)` is called when a page lacks the entries of services that could not be asked.
        """

        def entries(page: ListAuditTrailResponse) -> list[AuditEntry]:
            if page.unavailable_services and on_missing:
                on_missing(page.unavailable_services)
            return page.entries

        params = {"action": action, "table_name": table_name, "grant": grant}
        return self._http.pages(routes.LIST_AUDIT_TRAIL, params, entries, page_size)

    # Household

    def account(self) -> Account:
        """The account that the person is in, with its members."""
        return self._http.get(routes.GET_ACCOUNT)

    def invite_to_account(self, email: str) -> AccountInvitation:
        """Invites somebody by mail into the person's account. FAMILY_TIER_NEEDED, ACCOUNT_FULL, ALREADY_EXISTS."""
        return self._http.post(routes.CREATE_ACCOUNT_INVITATION, {"email": email})

    def account_invitations(self, *, status: str = "") -> Iterator[AccountInvitation]:
        """The invitations that the person has sent, all or those with a status such as `open`."""
        params = {"status": status}
        return self._http.pages(routes.LIST_ACCOUNT_INVITATIONS, params, lambda page: page.account_invitations)

    def revoke_account_invitation(self, invitation_id: str) -> AccountInvitation:
        """Takes an open invitation back."""
        return self._http.post(routes.REVOKE_ACCOUNT_INVITATION, {}, id=invitation_id)

    def join_account(self, token: str) -> Account:
        """Accepts an invitation. INVITATION_INVALID, ACCOUNT_FULL, ACCOUNT_HAS_MEMBERS."""
        return self._http.post(routes.JOIN_ACCOUNT, {"token": token})

    def decline_account_invitation(self, token: str) -> None:
        """Declines an invitation. INVITATION_INVALID."""
        self._http.post(routes.DECLINE_ACCOUNT_INVITATION, {"token": token})

    def leave_account(self) -> Account:
        """Leaves a household for an account of the person's own. OWNER_CANNOT_LEAVE."""
        return self._http.post(routes.LEAVE_ACCOUNT, {})

    def remove_account_member(self, member_id: str) -> Account:
        """Removes a member from the person's household. NOT_ACCOUNT_OWNER."""
        return self._http.post(routes.REMOVE_ACCOUNT_MEMBER, {}, id=member_id)

    def make_account_owner(self, member_id: str) -> Account:
        """Hands the account over to another member. NOT_ACCOUNT_OWNER."""
        return self._http.post(routes.MAKE_ACCOUNT_OWNER, {}, id=member_id)
