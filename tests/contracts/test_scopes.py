"""Every scope is one that a person can share, or their own alone for a reason that stands here."""

import re
from pathlib import Path

from services.kit.contract import grantable_scopes
from tests.rpcs import rpcs
from vitalis.options.v1.options_pb2 import AUDIENCE_ADMIN, AUDIENCE_USER
from vitalis_client.cli.sharing import SCOPES

# What no grant holds, a whole area or one scope of it, and why.
OWNERS_ALONE = {
    "credentials": "the password and the address: whoever changes them has the account",
    "sessions": "where a person is logged in, only they see and end",
    "admin": "what administrators do, who are made by each other",
    "audit": "shows what was before, addresses, and what other people with a grant do",
    "identities": "who is let in as this person; it would be the account itself that is shared",
    "account": "what is paid for, and with whom",
    "sharing": "what was granted cannot be granted on, and who else sees what is nobody's business",
    "privacy": "taking everything along, erasing it and agreeing for somebody are for nobody to lend",
    "onboarding": "answers that nobody has confirmed yet; what becomes of them is shared as the profile",
    "preferences": "how a person's own screens look and what they are told; of no use to anybody else",
    "coaching_history": "what a profile was before, and why it changed, is for its owner (ONB 10)",
    "coaching_lock": "who may change the profile is decided by its owner, who proves it",
    "second_factors": "how somebody logs in",
    "profile.write": "who somebody is, only they say",
}
ASKED_OF_PEOPLE = {rpc.access.scope for rpc in rpcs() if rpc.access.audience in (AUDIENCE_USER, AUDIENCE_ADMIN)}


def why_not(scope: str) -> str:
    return OWNERS_ALONE.get(scope) or OWNERS_ALONE.get(scope.partition(".")[0], "")


def test_every_scope_can_be_shared_or_is_its_owners_alone_for_a_reason() -> None:
    undecided = sorted(scope for scope in ASKED_OF_PEOPLE - grantable_scopes() if not why_not(scope))
    assert undecided == [], "add it to grantable_scope in options/v1/rules.proto, or say here why nobody can share it"


def test_what_can_be_shared_is_asked_for_by_an_rpc_and_is_nobodys_secret() -> None:
    assert grantable_scopes()
    assert grantable_scopes() <= {rpc.access.scope for rpc in rpcs() if rpc.access.audience == AUDIENCE_USER}
    assert [scope for scope in grantable_scopes() if why_not(scope)] == []
    assert all(re.fullmatch(r"[a-z_]+\.(read|write)", scope) for scope in grantable_scopes())


def test_what_can_be_shared_stands_with_the_command_that_shares_it() -> None:
    readme = Path(__file__).parents[2].joinpath("client", "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in readme.splitlines() if line.startswith("SCOPES are "))
    assert set(re.findall(r"`([a-z_.]+)`", line)) == grantable_scopes()
    # Its own help names them too.
    assert set(SCOPES) == grantable_scopes()


def test_no_reason_is_left_of_a_scope_that_is_gone() -> None:
    assert set(OWNERS_ALONE) <= ASKED_OF_PEOPLE | {scope.partition(".")[0] for scope in ASKED_OF_PEOPLE}
