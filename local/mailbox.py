"""Mail of a local Vitalis: files in a folder, and the codes in them."""

import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from local.directory import LocalError

CODE = re.compile(r"^\s+(vvt_[\w-]+)\s*$", re.MULTILINE)
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.02


def mails_to(mailbox: Path, address: str) -> list[EmailMessage]:
    """The mails to an address, the oldest first."""
    found = (message_from_bytes(file.read_bytes(), policy=policy.default) for file in sorted(mailbox.glob("*.eml")))
    return [mail for mail in found if mail["To"] == address]


def code_in(mail: EmailMessage) -> str:
    """The code that a mail asks to enter; "" if it has none."""
    found = CODE.search(str(mail.get_content()))
    return found[1] if found else ""


def wait_for_code(mailbox: Path, address: str) -> str:
    """The newest code for an address, once there is one. Raises LocalError if none comes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if codes := [code for mail in mails_to(mailbox, address) if (code := code_in(mail))]:
            return codes[-1]
        time.sleep(LOOK_SECONDS)
    raise LocalError(f"no mail with a code has come to {mailbox}")
