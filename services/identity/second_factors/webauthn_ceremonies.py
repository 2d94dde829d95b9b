"""WebAuthn's two ceremonies (W3C WebAuthn level 3, sections 7.1 and 7.2), by the library `webauthn`.

What a browser sends is untrusted JSON with CBOR in it. The library raises what
its parsers and the cryptography below them raise, so everything that it raises
means one thing here: refused. So is what was signed in a frame of another site's
page, where people do not see what they agree to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import webauthn
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from webauthn.helpers import (
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.identity.second_factors.challenges import LIFETIME

TIMEOUT_MILLISECONDS = round(LIFETIME.total_seconds() * 1000)
# More than any authenticator makes (WebAuthn level 3, section 4: at most 1023 bytes).
LONGEST_CREDENTIAL_ID = 1023


class Refused(Exception):
    """What a browser sent does not hold."""


class Known(NamedTuple):
    """A credential that a person has registered."""

    credential_id: bytes
    transports: Sequence[str]


class Made(NamedTuple):
    """A credential that has just been made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]
    backed_up: bool


class Assertion(NamedTuple):
    """What a passkey is said to have signed, before anything of it is verified."""

    credential: dict[str, Any]
    credential_id: bytes
    user_handle: bytes | None
    challenge: str
    is_framed: bool

    @classmethod
    def read(cls, sent: Struct) -> "Assertion":
        """Raises Refused for what is no assertion."""
        try:
            json = json_format.MessageToDict(sent)
            credential = parse_authentication_credential_json(json)
            client_data = parse_client_data_json(credential.response.client_data_json)
            challenge = client_data.challenge.decode()
        except Exception as error:
            raise Refused from error
        framed = bool(client_data.cross_origin)
        return cls(json, credential.raw_id, credential.response.user_handle, challenge, framed)

    @property
    def person(self) -> UUID:
        """Whose passkey it says it is. Raises Refused if it does not say, as one that is not discoverable."""
        try:
            return UUID(bytes=self.user_handle)
        except (TypeError, ValueError) as error:
            raise Refused from error


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom passkeys are made for: a domain, its name for people, and the origins of its pages."""

    id: str
    name: str
    origins: tuple[str, ...]

    def creation_options(
        self, user_id: UUID, email: str, display_name: str, challenge: bytes, known: Sequence[Known]
    ) -> Struct:
        """What a browser makes a passkey with; not one more on a device that has one."""
        options = webauthn.generate_registration_options(
            rp_id=self.id,
            rp_name=self.name,
            # The user handle: an id that says nothing about the person.
            user_id=user_id.bytes,
            user_name=email,
            user_display_name=display_name,
            challenge=challenge,
            timeout=TIMEOUT_MILLISECONDS,
            exclude_credentials=_descriptors(known),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
            ),
        )
        return _struct(options_to_json_dict(options))

    def request_options(self, challenge: bytes, known: Sequence[Known], *, alone: bool) -> Struct:
        """What a browser asks a passkey with. `alone`: it is the only factor, of whoever owns it."""
        need = UserVerificationRequirement.REQUIRED if alone else UserVerificationRequirement.PREFERRED
        options = webauthn.generate_authentication_options(
            rp_id=self.id,
            challenge=challenge,
            timeout=TIMEOUT_MILLISECONDS,
            allow_credentials=_descriptors(known),
            user_verification=need,
        )
        return _struct(options_to_json_dict(options))

    def verify_creation(self, sent: Struct, challenge: str) -> Made:
        """The passkey that was made on a challenge. Raises Refused."""
        try:
            json = json_format.MessageToDict(sent)
            parsed = parse_registration_credential_json(json)
            client_data = parse_client_data_json(parsed.response.client_data_json)
            made = webauthn.verify_registration_response(
                credential=json,
                expected_challenge=challenge.encode(),
                expected_rp_id=self.id,
                expected_origin=list(self.origins),
            )
        except Exception as error:
            raise Refused from error
        if client_data.cross_origin or made.credential_id != parsed.raw_id:
            raise Refused
        if len(made.credential_id) > LONGEST_CREDENTIAL_ID:
            raise Refused
        return Made(
            made.credential_id,
            made.credential_public_key,
            made.sign_count,
            [transport.value for transport in parsed.response.transports or ()],
            made.credential_backed_up,
        )

    def verify_assertion(self, assertion: Assertion, challenge: str, public_key: bytes, *, alone: bool) -> int:
        """The counter of the passkey that signed a challenge. Raises Refused.

        The counter is the caller's to compare: the library would do it before
        it has seen that the signature holds.
        """
        if assertion.is_framed:
            raise Refused
        try:
            verified = webauthn.verify_authentication_response(
                credential=assertion.credential,
                expected_challenge=challenge.encode(),
                expected_rp_id=self.id,
                expected_origin=list(self.origins),
                credential_public_key=public_key,
                credential_current_sign_count=0,
                require_user_verification=alone,
            )
        except Exception as error:
            raise Refused from error
        return verified.new_sign_count


def challenge_of_creation(sent: Struct) -> str:
    """The challenge that a passkey says it was made on. Raises Refused."""
    try:
        parsed = parse_registration_credential_json(json_format.MessageToDict(sent))
        return parse_client_data_json(parsed.response.client_data_json).challenge.decode()
    except Exception as error:
        raise Refused from error


def _descriptors(known: Sequence[Known]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(one.credential_id, transports=[AuthenticatorTransport(t) for t in one.transports])
        for one in known
    ]


def _struct(json: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(json)
    return struct
