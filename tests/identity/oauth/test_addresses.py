"""Addresses of people who log in elsewhere: whose they are, and who proves it."""

import asyncio

import pytest

from local.mailbox import code_in, mails_to
from tests.harness import reason
from tests.identity.conftest import PASSWORD, Identity
from tests.identity.factors import BY_PASSWORD
from tests.identity.oauth.conftest import Client, just_now, rows, with_password
from vitalis.identity.v1 import credentials_pb2, registration_pb2
from vitalis.identity.v1 import oauth_pb2 as pb


async def test_an_address_of_somebody_is_not_linked_in_silence(client: Client, identity: Identity) -> None:
    caller = await with_password(identity, "ada@example.com")
    assert await reason(client.log_in()) == "OAUTH_LINK_FIRST"
    # Also where the provider is not the one to say so: the address is that person's all the same.
    assert await reason(client.log_in(sub="x", email="ADA@example.com")) == "OAUTH_LINK_FIRST"
    assert len(rows(identity, "SELECT 1 FROM users")) == 1
    assert rows(identity, "SELECT 1 FROM oauth_identities") == []
    linked = (await client.link(caller, **await client.start_link(caller, BY_PASSWORD))).identity
    assert (linked.user_id, linked.provider) == (caller.subject, "strict")
    assert not linked.HasField("last_used_at")
    assert (await client.log_in(sub="x")).user.id == caller.subject
    assert [(one.id, one.HasField("last_used_at")) for one in await client.identities(caller)] == [(linked.id, True)]


async def test_an_address_that_is_not_proved_is_nobodys_yet(client: Client, identity: Identity) -> None:
    """The answer is the same whether or not somebody has the address, and nobody gets anything of theirs."""
    await identity.make_person("ada@example.com")
    taken = await client.log_in(sub="a", email_verified=False)
    free = await client.log_in(sub="b", email="free@example.com", email_verified=False)
    foreign = await client.log_in(sub="c", email="c@bank.example")
    assert (taken.user.email, free.user.email, foreign.user.email) == (
        "ada@example.com",
        "free@example.com",
        "c@bank.example",
    )
    verified = rows(identity, "SELECT email FROM users WHERE email_verified_at IS NOT NULL")
    assert verified == [{"email": "ada@example.com"}]
    assert (await client.log_in(sub="a", email_verified=False)).user.id == taken.user.id


async def test_an_address_is_proved_by_who_is_signed_in_and_reads_its_mail(client: Client, identity: Identity) -> None:
    """Whoever gets the mail of a stranger's sign-up with their address can do that stranger no favour."""
    mine = just_now(await client.log_in(sub="a", email="me@bank.example"))
    other = just_now(await client.log_in(sub="b", email="other@bank.example"))
    await identity.run_jobs()
    (mail,) = mails_to(identity.mailbox, "me@bank.example")
    code = code_in(mail)
    for caller, token in ((other, code), (mine, code[:-1] + "~"), (mine, "vvt_unknown")):
        assert await reason(client.prove(caller, token)) == "VERIFICATION_TOKEN_INVALID"
    request = registration_pb2.VerifyEmailRequest(token=code, password=PASSWORD)
    without = identity.registration.VerifyEmail(request, metadata=identity.metadata())
    assert await reason(without) == "WRONG_CREDENTIALS"

    await client.prove(mine, code)
    assert await reason(client.prove(mine, code)) == "VERIFICATION_TOKEN_INVALID"
    verified = rows(identity, "SELECT email FROM users WHERE email_verified_at IS NOT NULL")
    assert verified == [{"email": "me@bank.example"}]
    # From now on a password can be set through the address.
    reset = credentials_pb2.RequestPasswordResetRequest(email="me@bank.example")
    await identity.credentials.RequestPasswordReset(reset, metadata=identity.metadata())
    await identity.run_jobs()
    assert [mail["Subject"] for mail in mails_to(identity.mailbox, "me@bank.example")][-1] == "Set a new password"


async def test_another_mail_is_sent_to_who_signed_up_elsewhere(client: Client, identity: Identity) -> None:
    mine = just_now(await client.log_in(sub="a", email="me@bank.example"))
    await identity.run_jobs()
    request = registration_pb2.RequestEmailVerificationRequest(email="me@bank.example")
    await identity.registration.RequestEmailVerification(request, metadata=identity.metadata())
    await identity.run_jobs()
    first, second = [code_in(mail) for mail in mails_to(identity.mailbox, "me@bank.example")]
    assert await reason(client.prove(mine, first)) == "VERIFICATION_TOKEN_INVALID"
    await client.prove(mine, second)


async def test_of_two_who_prove_an_address_one_has_it(client: Client, identity: Identity) -> None:
    callers = [just_now(await client.log_in(sub=sub, email="me@bank.example", email_verified=False)) for sub in "ab"]
    await identity.run_jobs()
    codes = [code_in(mail) for mail in mails_to(identity.mailbox, "me@bank.example")]
    assert len(set(codes)) == 2
    whose = rows(identity, "SELECT user_id::text FROM verification_tokens ORDER BY created_at")
    by_id = {caller.subject: caller for caller in callers}
    proofs = [client.prove(by_id[row["user_id"]], code) for row, code in zip(whose, codes, strict=True)]
    outcomes = await asyncio.gather(*proofs, return_exceptions=True)
    assert sum(isinstance(outcome, pb.ProveEmailResponse) for outcome in outcomes) == 1
    assert len(rows(identity, "SELECT 1 FROM users WHERE email_verified_at IS NOT NULL")) == 1


async def test_an_address_that_is_proved_gets_no_mail(client: Client, identity: Identity) -> None:
    await client.log_in()
    await identity.run_jobs()
    assert mails_to(identity.mailbox, "ada@example.com") == []


@pytest.mark.parametrize("email", ['"ada"@example.com', "ada@example.com>", "ada@bob@example.com", "ada,b@example.com"])
async def test_what_no_mail_can_be_sent_to_is_no_address(client: Client, email: str) -> None:
    assert await reason(client.log_in(email=email)) == "OAUTH_EMAIL_MISSING"


async def test_without_an_address_nobody_is_signed_up(client: Client, identity: Identity) -> None:
    assert await reason(client.log_in(email=None)) == "OAUTH_EMAIL_MISSING"
    assert rows(identity, "SELECT 1 FROM users") == []
