"""What the mails with codes hold."""

import pytest

from services.identity.letters import Letters

WITH_CODES = ("verify_email", "prove_email", "reset_password", "change_email")


@pytest.mark.parametrize("kind", WITH_CODES)
def test_a_code_is_in_the_text_and_links_lead_to_the_application_alone(kind: str) -> None:
    body = getattr(Letters(""), kind)("vvt_code").body
    assert "vvt_code" in body.split()
    assert "http" not in body
    with_app = getattr(Letters("https://app.example.com/vitalis"), kind)("vvt_code").body
    (link,) = [word for word in with_app.split() if word.startswith("http")]
    page = {"change_email": "confirm-email-change"}.get(kind, kind.replace("_", "-"))
    assert link == f"https://app.example.com/vitalis/{page}#token=vvt_code"
    assert "vvt_code" in with_app.split()
