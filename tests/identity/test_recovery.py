"""What stands in for a lost password or a lost factor is no way around the other one."""

import base64
import hashlib
import re

from local.mailbox import code_in, mails_to
from tests.identity.conftest import EMAIL, Identity
from tests.identity.factors import BY_PASSWORD, somebody
from vitalis.identity.v1 import credentials_pb2 as pb

OTHER_PASSWORD = "another horse, another battery"
CODE = re.compile("([0-9abcdefghjkmnpqrstvwxyz]{4}-){5}[0-9abcdefghjkmnpqrstvwxyz]{4}")


async def test_a_new_password_by_mail_does_not_get_around_the_second_factor(identity: Identity) -> None:
    owner = await (await somebody(identity)).enable_totp()
    asked = pb.RequestPasswordResetRequest(email=EMAIL)
    await identity.credentials.RequestPasswordReset(asked, metadata=identity.metadata())
    await identity.run_jobs()
    reset = pb.ResetPasswordRequest(token=code_in(mails_to(identity.mailbox, EMAIL)[-1]), new_password=OTHER_PASSWORD)
    assert await identity.credentials.ResetPassword(reset, metadata=identity.metadata()) == pb.ResetPasswordResponse()
    answer = await identity.log_in(EMAIL, OTHER_PASSWORD)
    assert not answer.HasField("tokens")
    assert set(answer.challenge.methods) == {"totp", "recovery_code"}
    assert owner.rows("sessions") == []


async def test_a_recovery_code_has_120_random_bits_and_is_stored_as_a_hash(identity: Identity) -> None:
    owner = await (await somebody(identity)).enable_totp()
    codes = owner.recovery_codes
    # Six groups of four characters of five bits each.
    assert all(CODE.fullmatch(code) for code in codes)
    assert len(set(codes)) == len(codes) == 10
    first_groups = {code[:4] for code in codes}
    assert len(first_groups) == 10
    stored = {bytes(row["code_sha256"]) for row in owner.rows("recovery_codes")}
    assert stored == {hashlib.sha256(code.replace("-", "").encode()).digest() for code in codes}


async def test_a_seed_has_160_random_bits(identity: Identity) -> None:
    owner = await somebody(identity)
    seeds = {(await owner.ask("BeginTotp", proof=BY_PASSWORD)).secret for _ in range(5)}
    assert len(seeds) == 5
    assert {len(base64.b32decode(seed)) for seed in seeds} == {20}
