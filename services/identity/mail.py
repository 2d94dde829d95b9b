"""Mail to people: over SMTP, or as files in a folder while there is no mail server.

Only jobs send mail: a request that waited for a mail server would tell by its
duration whether there was anything to send. Nothing that somebody else typed
belongs in a mail: who registers a stranger's address would write to them in our
name.
"""

import asyncio
import os
import re
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

log = structlog.get_logger()
# About two hours of exponential backoff: mail servers are restarted, and greylist.
ATTEMPTS = 13
TIMEOUT_SECONDS = 30.0
# RFC 5322 section 2.1.1: 998 characters a line.
LINE_LENGTH = 998
URL_FORM = "must be smtp://user:password@host:587 or smtps://user:password@host:465, special characters escaped as %40"
ADDRESS = re.compile(r"[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]+@[A-Za-z0-9.-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True, repr=False)
class SmtpServer:
    """Where mail is handed in. `use_tls` is TLS from the first byte, `start_tls` an upgrade that must succeed."""

    host: str
    port: int
    username: str | None
    password: str | None
    use_tls: bool
    start_tls: bool

    @classmethod
    def from_url(cls, url: str) -> Self:
        """`smtps://user:pass@host:465`, `smtp://user:pass@host:587` (STARTTLS), `smtp://relay:25?tls=none`.

        Raises ValueError, which quotes nothing, for any other.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Its text quotes what it cannot read, which may be the password.
            raise ValueError(URL_FORM) from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.fragment:
            raise ValueError(URL_FORM)
        options = parse_qs(parts.query, keep_blank_values=True)
        implicit, plain = parts.scheme == "smtps", parts.scheme == "smtp" and options == {"tls": ["none"]}
        if options and not plain:
            raise ValueError("takes no option but tls=none, with smtp://")
        if (parts.username is None) != (parts.password is None):
            raise ValueError("needs a password where it has a user, and a user where it has a password")
        return cls(
            parts.hostname,
            port or (465 if implicit else 587),
            unquote(parts.username) if parts.username is not None else None,
            unquote(parts.password) if parts.password is not None else None,
            use_tls=implicit,
            start_tls=not implicit and not plain,
        )


class Mailer:
    """Sends mail from `sender` through `server`; without one, writes it into the folder `mailbox`."""

    def __init__(self, *, sender: str, server: SmtpServer | None = None, mailbox: Path | None = None) -> None:
        if server is None and mailbox is None:
            raise ValueError("mail needs a server or a mailbox")
        self._sender = sender
        self._server = server
        self._mailbox = mailbox

    async def send(self, to: str, subject: str, body: str) -> None:
        """Sends plain text to one address.

        A recipient that the server refuses for good is logged and no error.
        Raises whatever else goes wrong, so that the job that sends is tried again.
        """
        message = compose(self._sender, to, subject, body)
        if self._server:
            await self._hand_in(self._server, to, message)
        elif self._mailbox:
            file = await asyncio.to_thread(_deliver, self._mailbox, message)
            log.info("mail", file=str(file))

    async def _hand_in(self, server: SmtpServer, to: str, message: bytes) -> None:
        # Not at the top: without a server there is nothing to load it for.
        import aiosmtplib

        try:
            await aiosmtplib.send(
                message,
                sender=self._sender,
                recipients=[to],
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.use_tls,
                start_tls=server.start_tls,
                tls_context=ssl.create_default_context(),
                timeout=TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as refusal:
            if any(recipient.code < 500 for recipient in refusal.recipients):
                raise
            log.warning("mail", state="refused", code=refusal.recipients[0].code)
        else:
            log.info("mail", state="sent")


def compose(sender: str, to: str, subject: str, body: str) -> bytes:
    """The message as it travels. Raises ValueError for an address that could be anything but one address."""
    if not ADDRESS.fullmatch(to):
        raise ValueError("mail goes to one plain address")
    message = EmailMessage(policy=SMTP)
    message["From"] = _header(sender)
    message["To"] = _header(to)
    message["Subject"] = CONTROL.sub(" ", subject).strip()
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    # RFC 3834: no holiday reply is sent to it.
    message["Auto-Submitted"] = "auto-generated"
    # Plain where it can be, so that a link or a token stands in one piece in the file too.
    plain = body.isascii() and all(len(line) <= LINE_LENGTH for line in body.splitlines())
    message.set_content(body, cte="7bit" if plain else "base64")
    return message.as_bytes()


def _header(address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(username=local, domain=domain)


def _deliver(mailbox: Path, message: bytes) -> Path:
    """Writes the message in one step, so that who reads the folder finds whole messages only."""
    mailbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"
    draft, file = mailbox / f".{name}", mailbox / f"{name}.eml"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(message)
    return draft.replace(file)
