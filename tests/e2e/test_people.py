"""A household, a profile and an administrator, over HTTP."""

import re
from collections.abc import Callable

import httpx

from local.mailbox import mails_to
from local.runner import Stack
from tests.e2e.vitalis import PASSWORD, Person, until

TOKEN = re.compile(r"\bvin_[\w-]+")


def log_in_again(person: Person) -> None:
    answer = person.http.post("/api/v1/sessions", json={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    person.http.headers["Authorization"] = f"Bearer {answer.json()['tokens']['access_token']}"


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["details"][0]["reason"]
    return found


def test_a_profile_and_preferences(ada: Person, sign_up: Callable[[], Person]) -> None:
    me = "/api/v1/users/me"
    read = ada.http.get(me)
    changed = ada.http.patch(
        me,
        json={"username": f"u{ada.id[-12:]}", "date_of_birth": "1990-12-10"},
        headers={"If-Match": read.headers["etag"]},
    )
    assert changed.status_code == 200, changed.text
    assert ada.http.get(me).json()["date_of_birth"] == "1990-12-10"
    stale = ada.http.patch(me, json={"bio": "x"}, headers={"If-Match": read.headers["etag"]})
    assert (stale.status_code, reason(stale)) == (409, "ETAG_MISMATCH")
    assert stale.headers["etag"] == changed.headers["etag"] != read.headers["etag"]
    taken = sign_up().http.patch(me, json={"username": f"U{ada.id[-12:]}".upper()})
    assert (taken.status_code, reason(taken)) == (409, "USERNAME_TAKEN")
    cleared = ada.http.patch(me, params={"update_mask": "username,date_of_birth"}, json={})
    assert not {"username", "date_of_birth"} & cleared.json().keys()
    units = ada.http.patch(f"{me}/preferences", json={"weight_unit": "kg", "dashboard_layout": {"widgets": ["sleep"]}})
    assert units.status_code == 200, units.text
    assert ada.get("preferences").json()["dashboard_layout"] == {"widgets": ["sleep"]}
    assert ada.get("preferences").json()["timezone"] == "UTC"


def test_a_household_that_an_administrator_keeps(stack: Stack, sign_up: Callable[[], Person]) -> None:
    root, ada, bob = sign_up(), sign_up(), sign_up()
    people = "/api/v1/admin/users"
    assert reason(ada.http.get(people)) == "SCOPE_MISSING"
    assert stack.make_admin(root.email) == 0
    # The role is not in the token of a session that has ended with it.
    until(lambda: root.http.get("/api/v1/users/me").status_code == 401, "the session's end")
    log_in_again(root)

    listed = root.http.get(people, params={"email_prefix": ada.email}).json()["people"]
    assert [one["id"] for one in listed] == [ada.id]
    assert reason(ada.post("account-invitations", json={"email": bob.email})) == "FAMILY_TIER_NEEDED"
    paid = root.http.patch(f"{people}/{ada.id}/subscription", json={"subscription_tier": "family"})
    assert (paid.status_code, paid.json()["max_users"]) == (200, 4), paid.text

    invited = ada.post("account-invitations", json={"email": bob.email})
    assert invited.status_code == 200, invited.text

    def token() -> str:
        found = [TOKEN.search(mail.get_content()) for mail in mails_to(stack.mailbox, bob.email)]
        return next((match[0] for match in found if match), "")

    joined = bob.post("account:join", json={"token": until(token, "the invitation")})
    assert joined.status_code == 200, joined.text
    assert [member["id"] for member in ada.get("account").json()["members"]] == [ada.id, bob.id]
    # A household is no grant.
    for path in ("", "/days", "/account", "/preferences"):
        assert reason(ada.http.get(f"/api/v1/users/{bob.id}{path}")) == "SUBJECT_MISMATCH"

    suspended = root.http.post(f"{people}/{bob.id}:suspend", json={"reason": "They asked for it."})
    assert suspended.json()["account_status"] == "suspended"
    until(lambda: bob.http.get("/api/v1/users/me").status_code == 401, "the suspension's effect")
    refused = bob.http.post("/api/v1/sessions", json={"email": bob.email, "password": PASSWORD})
    assert reason(refused) == "ACCOUNT_SUSPENDED"
    assert root.http.post(f"{people}/{bob.id}:restore", json={}).json()["account_status"] == "active"
    log_in_again(bob)
    assert bob.post("account:leave", json={}).json()["is_owner"] is True
    # Nor is an administrator's role one.
    for path in ("", "/days", "/imports"):
        assert reason(root.http.get(f"/api/v1/users/{bob.id}{path}")) == "SUBJECT_MISMATCH"
