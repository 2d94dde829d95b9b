"""People who are long away are told once."""

from tests.privacy.conftest import Both, Somebody


def last_seen(both: Both, who: Somebody, ago: str) -> None:
    query = (
        "UPDATE users SET last_login_at = now() - %s::interval, created_at = now() - interval '9 years' WHERE id = %s"
    )
    both.value("identity", query, ago, who.id)


async def notices(both: Both) -> list[str]:
    await both.run_task("notify_inactive")
    await both.run_jobs(both.identity, "mail_inactivity")
    return [mail["To"] for mail in both.mails()]


async def test_told_once_and_again_only_after_having_come_back(both: Both, ada: Somebody, bert: Somebody) -> None:
    last_seen(both, ada, "3 years")
    last_seen(both, bert, "729 days")
    assert await notices(both) == ["ada@example.com"]
    assert await notices(both) == ["ada@example.com"]
    # She was back a year after the notice, and has been away since.
    both.value("identity", "UPDATE inactivity_notices SET notified_at = now() - interval '2 years 364 days'")
    last_seen(both, ada, "731 days")
    assert await notices(both) == ["ada@example.com"] * 2


async def test_who_never_logged_in_after_signing_up_counts_from_then(both: Both, ada: Somebody) -> None:
    both.value("identity", "UPDATE users SET last_login_at = NULL, created_at = now() - interval '731 days'")
    assert await notices(both) == ["ada@example.com"]
    assert await notices(both) == ["ada@example.com"]


async def test_nobody_is_told_who_is_gone_or_cannot_read_it(both: Both, ada: Somebody, bert: Somebody) -> None:
    last_seen(both, ada, "3 years")
    last_seen(both, bert, "3 years")
    both.value("identity", "UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s", ada.id)
    both.value("identity", "UPDATE users SET email_verified_at = NULL WHERE id = %s", bert.id)
    assert await notices(both) == []
