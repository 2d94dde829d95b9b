"""Mail: what travels to a real SMTP server, what it takes to be refused, and the mailbox folder."""

import asyncio
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from local.postgres import free_port
from services.identity.mail import Mailer, SmtpServer, compose
from services.identity.settings import IdentitySettings

TO, SENDER = "ada@example.com", "vitalis@example.org"
USER, PASSWORD = "vitalis", "p@ss/w:rd"
QUOTED = "p%40ss%2Fw%3Ard"
TEXT = st.text(st.characters(codec="utf-8"))


class Inbox:
    """What an SMTP server has been given, and what it answers to a recipient."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[bytes] = []
        self.encrypted: list[bool] = []
        self.answers: list[str] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append(data.login)
        return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("mail") / "mail.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def smtp_server(inbox: Inbox, *, port: int = 0, **options: Any) -> Iterator[int]:
    """A real server on a thread of its own; its port."""
    controller = Controller(inbox, hostname="127.0.0.1", port=port or free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def mailer(url: str) -> Mailer:
    return Mailer(sender=SENDER, server=SmtpServer.from_url(url))


def parsed(content: bytes | str | None) -> EmailMessage:
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=policy.SMTP)


async def test_a_mail_arrives_over_starttls_with_a_login(tls: ssl.SSLContext, trusted: None) -> None:
    inbox = Inbox()
    with smtp_server(
        inbox, tls_context=tls, require_starttls=True, authenticator=inbox.authenticate, auth_required=True
    ) as port:
        await mailer(f"smtp://{USER}:{QUOTED}@127.0.0.1:{port}").send(TO, "Your code", "The code is\n.hidden\n")
    (envelope,) = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, [TO])
    assert (inbox.logins, inbox.encrypted) == ([USER.encode()], [True])
    message = parsed(envelope.content)
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, TO, "Your code")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    assert message.get_content().splitlines() == ["The code is", ".hidden"]


async def test_a_mail_arrives_over_tls_from_the_first_byte(tls: ssl.SSLContext, trusted: None) -> None:
    inbox = Inbox()
    with smtp_server(inbox, ssl_context=tls) as port:
        await mailer(f"smtps://127.0.0.1:{port}").send(TO, "Grüße", "Schöne Grüße\n")
    message = parsed(inbox.envelopes[0].content)
    assert (message["Subject"], message.get_content().strip()) == ("Grüße", "Schöne Grüße")


async def test_a_relay_without_tls_has_to_be_asked_for() -> None:
    inbox = Inbox()
    with smtp_server(inbox) as port:
        with pytest.raises(Exception, match="STARTTLS"):
            await mailer(f"smtp://127.0.0.1:{port}").send(TO, "Subject", "Body")
        assert inbox.envelopes == []
        await mailer(f"smtp://127.0.0.1:{port}?tls=none").send(TO, "Subject", "Body")
    assert inbox.encrypted == [False]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_an_unknown_certificate_gets_no_mail(tls: ssl.SSLContext, scheme: str) -> None:
    inbox = Inbox()
    options: dict[str, Any] = {"ssl_context": tls} if scheme == "smtps" else {"tls_context": tls}
    with smtp_server(inbox, authenticator=inbox.authenticate, **options) as port:
        with pytest.raises(Exception, match="certificate"):
            await mailer(f"{scheme}://{USER}:{QUOTED}@127.0.0.1:{port}").send(TO, "Subject", "Body")
    assert (inbox.envelopes, inbox.logins) == ([], [])


async def test_a_certificate_of_another_host_gets_no_mail(tls: ssl.SSLContext, trusted: None) -> None:
    inbox = Inbox()
    with smtp_server(inbox, tls_context=tls) as port:
        with pytest.raises(Exception, match=r"(?i)hostname"):
            await mailer(f"smtp://localhost:{port}").send(TO, "Subject", "Body")
    assert inbox.envelopes == []


async def test_a_wrong_login_is_an_error_that_the_job_repeats(tls: ssl.SSLContext, trusted: None) -> None:
    inbox = Inbox()
    with smtp_server(inbox, tls_context=tls, authenticator=inbox.authenticate, auth_required=True) as port:
        with pytest.raises(Exception, match="535"):
            await mailer(f"smtp://{USER}:wrong@127.0.0.1:{port}").send(TO, "Subject", "Body")
    assert inbox.envelopes == []


async def test_a_recipient_who_is_refused_for_good_is_not_tried_again() -> None:
    inbox = Inbox()
    inbox.answers = ["450 busy", "550 nobody here"]
    with smtp_server(inbox) as port:
        sender = mailer(f"smtp://127.0.0.1:{port}?tls=none")
        with pytest.raises(Exception, match="450"):
            await sender.send(TO, "Subject", "Body")
        with structlog.testing.capture_logs() as lines:
            await sender.send(TO, "Subject", "Body")
    assert [(line["log_level"], line["state"], line["code"]) for line in lines] == [("warning", "refused", 550)]
    assert TO not in repr(lines)


async def test_a_server_that_is_away_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        await mailer(f"smtp://127.0.0.1:{free_port()}?tls=none").send(TO, "Subject", "Body")


async def test_without_a_server_each_mail_is_a_file_that_only_we_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "mail"
    sender = Mailer(sender=SENDER, mailbox=folder)
    with structlog.testing.capture_logs() as lines:
        for subject in ("First", "Second"):
            await sender.send(TO, subject, "the token")
    files = sorted(folder.iterdir())
    assert [parsed(file.read_bytes())["Subject"] for file in files] == ["First", "Second"]
    assert {file.suffix for file in files} == {".eml"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [line["file"] for line in lines] == [str(file) for file in files]
    for private in (TO, "First", "the token"):
        assert private not in repr(lines)


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    asyncio.run(Mailer(sender=SENDER, mailbox=tmp_path).send(TO, "Subject", "Body"))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@given(TEXT, TEXT)
def test_nothing_in_a_subject_or_a_body_becomes_a_header(subject: str, body: str) -> None:
    message = parsed(compose(SENDER, TO, subject, body))
    assert message.keys() == parsed(compose(SENDER, TO, "Subject", "Body")).keys()
    assert (message["To"], message["From"]) == (TO, SENDER)
    assert not message.defects


@pytest.mark.parametrize("injected", ["\r\nBcc: eve@example.com", "\nBcc: eve@example.com", "\r\n\r\nanother body"])
def test_a_header_cannot_be_smuggled_in(injected: str) -> None:
    message = parsed(compose(SENDER, TO, f"Your code{injected}", "Body"))
    assert message["Bcc"] is None
    assert message.get_content().strip() == "Body"
    for address in (TO + injected, injected + TO, f"ada{injected}@example.com"):
        with pytest.raises(ValueError, match="one plain address"):
            compose(SENDER, address, "Subject", "Body")


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@example.com, eve@example.com", "Ada <ada@example.com>", "ada@exa mple.com", '"a b"@example.com'],
)
def test_mail_goes_to_one_plain_address(address: str) -> None:
    with pytest.raises(ValueError, match="one plain address"):
        compose(SENDER, address, "Subject", "Body")


def test_a_long_line_is_not_broken_in_the_reader_s_eyes() -> None:
    body = "x" * 2000 + "\n"
    content = compose(SENDER, TO, "Subject", body)
    assert max(len(line) for line in content.splitlines()) <= 998
    assert parsed(content).get_content().splitlines() == body.splitlines()


def test_ports_and_tls_follow_the_scheme() -> None:
    for url, expected in {
        "smtp://mail.example.com": (587, False, True),
        "smtps://mail.example.com": (465, True, False),
        "smtp://mail.example.com:25?tls=none": (25, False, False),
        "smtps://mail.example.com:2465/": (2465, True, False),
    }.items():
        server = SmtpServer.from_url(url)
        assert (server.port, server.use_tls, server.start_tls) == expected
        assert PASSWORD not in repr(SmtpServer.from_url(f"smtp://{USER}:{QUOTED}@mail.example.com"))


@pytest.mark.parametrize(
    "url",
    [
        "http://secret@mail.example.com",
        "smtp://",
        "smtp://user@mail.example.com",
        "smtp://user:secret@mail.example.com:secret",
        "smtp://[secret",
        "smtp://mail.example.com/secret",
        "smtps://mail.example.com?tls=none",
        "smtp://mail.example.com?tls=off",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, settings: tuple[IdentitySettings, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        IdentitySettings(**{**settings[0].model_dump(), "smtp_url": SecretStr(url)})
    problems = refused.value.errors(include_input=False, include_url=False)
    assert [problem["loc"] for problem in problems] == [("smtp_url",)]
    assert "secret" not in str(problems[0]["msg"])


def test_mail_has_to_go_somewhere(settings: tuple[IdentitySettings, Any]) -> None:
    with pytest.raises(ValueError, match="mail goes nowhere"):
        IdentitySettings(**settings[0].model_dump(exclude={"mailbox"}))
    with pytest.raises(ValueError, match="server or a mailbox"):
        Mailer(sender=SENDER)
