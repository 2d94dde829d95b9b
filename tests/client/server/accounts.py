"""Signing up, logging in, and second factors."""

import asyncio

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, PASSWORD, USER, USER_ID, Base, Place, bad_query, refuse, reply
from vitalis.identity.v1 import (
    log_in_pb2,
    preferences_pb2,
    registration_pb2,
    second_factors_pb2,
    sessions_pb2,
    users_pb2,
)

APP_CODE, RECOVERY_CODE = "123456", "3f8k-w2mz-7cqa-x9vr-t4nd-h5be"
CODE = "vvt_code"
RULE = "must be at least 12 characters"


class Accounts(Base):
    """One person, whose password is PASSWORD, with an authenticator app or without."""

    def __init__(self) -> None:
        super().__init__()
        self.registered = registration_pb2.RegisterRequest()
        self.reused = 0
        self.has_app = False
        self.user = person("ada@example.com")
        self.settings = preferences_pb2.Preferences(weight_unit="lbs", height_unit="in", timezone="UTC")
        self.settings.notification_prefs.SetInParent()
        self.settings.dashboard_layout.SetInParent()

    def open_places(self) -> list[Place]:
        return [
            *super().open_places(),
            ("POST", "/api/v1/users", self.register),
            ("POST", "/api/v1/users:verifyEmail", self.verify_email),
            ("POST", "/api/v1/sessions", self.log_in),
            ("POST", "/api/v1/sessions:complete", self.complete_log_in),
            ("POST", "/api/v1/sessions:refresh", self.refresh),
            ("POST", "/api/v1/sessions:logOut", self.log_out),
        ]

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("GET", USER, self.get_user),
            ("PATCH", USER, self.update_user),
            ("GET", USER + "/preferences", self.get_preferences),
            ("PATCH", USER + "/preferences", self.update_preferences),
            ("GET", USER + "/second-factors", self.get_second_factors),
            ("POST", USER + "/second-factors/totp:begin", self.begin_totp),
            ("POST", USER + "/second-factors/totp:confirm", self.confirm_totp),
            ("POST", USER + "/second-factors/totp:remove", self.remove_totp),
            ("POST", USER + "/second-factors/recovery-codes:regenerate", self.regenerate_recovery_codes),
        ]

    async def register(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), registration_pb2.RegisterRequest())
        if len(body.password) < 12:
            fields = {"password": RULE}
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", f"password: {RULE}", fields)
        self.registered = body
        return reply(registration_pb2.RegisterResponse())

    async def verify_email(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), registration_pb2.VerifyEmailRequest())
        if body.token != CODE:
            text = "the code is mistyped, was used, or is too old; try again or ask for another"
            return refuse(400, "INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID", text)
        if body.password != self.registered.password:
            return refuse(401, "UNAUTHENTICATED", "WRONG_CREDENTIALS", "email or password is wrong")
        return reply(registration_pb2.VerifyEmailResponse(user=person(self.registered.email), tokens=self.tokens()))

    async def log_in(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sessions_pb2.LogInRequest())
        if body.password != PASSWORD:
            return refuse(401, "UNAUTHENTICATED", "WRONG_CREDENTIALS", "email or password is wrong")
        if self.has_app:
            methods = ["totp", "recovery_code"]
            challenge = second_factors_pb2.LogInChallenge(challenge="vch_1", methods=methods)
            challenge.expires_at.FromDatetime(NOW)
            return reply(sessions_pb2.LogInResponse(challenge=challenge))
        return reply(sessions_pb2.LogInResponse(user=person(body.email), tokens=self.tokens()))

    async def complete_log_in(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), log_in_pb2.CompleteLogInRequest())
        assert body.challenge == "vch_1"
        if body.totp_code != APP_CODE and body.recovery_code != RECOVERY_CODE:
            return refuse(401, "UNAUTHENTICATED", "SECOND_FACTOR_WRONG", "the code or passkey is wrong")
        return reply(log_in_pb2.CompleteLogInResponse(user=person("ada@example.com"), tokens=self.tokens()))

    async def get_second_factors(self, request: Request) -> Response:
        answer = second_factors_pb2.GetSecondFactorsResponse(passkeys=1)
        if self.has_app:
            answer.recovery_codes_left = 9
            answer.totp_confirmed_at.FromDatetime(NOW)
        return reply(answer)

    async def begin_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.BeginTotpRequest())
        if not proves(body.proof):
            return unproved()
        answer = second_factors_pb2.BeginTotpResponse(secret="SECRET", otpauth_uri="otpauth://totp/Ada?secret=SECRET")
        answer.expires_at.FromDatetime(NOW)
        return reply(answer)

    async def confirm_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.ConfirmTotpRequest())
        if body.totp_code != APP_CODE:
            return refuse(400, "FAILED_PRECONDITION", "CODE_WRONG", "totp_code: is not the code that the app shows now")
        self.has_app = True
        return reply(second_factors_pb2.ConfirmTotpResponse(recovery_codes=[RECOVERY_CODE]))

    async def remove_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.RemoveTotpRequest())
        if not proves(body.proof):
            return unproved()
        self.has_app = False
        return reply(second_factors_pb2.RemoveTotpResponse())

    async def regenerate_recovery_codes(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.RegenerateRecoveryCodesRequest())
        if not proves(body.proof):
            return unproved()
        return reply(second_factors_pb2.RegenerateRecoveryCodesResponse(recovery_codes=["new-1", "new-2"]))

    async def refresh(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sessions_pb2.RefreshSessionRequest())
        # Long enough for another process to come along with the same token.
        await asyncio.sleep(0.05)
        if body.refresh_token != self.refresh_tokens[-1]:
            self.reused += body.refresh_token in self.refresh_tokens
            return refuse(401, "UNAUTHENTICATED", "REFRESH_TOKEN_REUSED", "log in again")
        return reply(sessions_pb2.RefreshSessionResponse(tokens=self.tokens()))

    async def log_out(self, request: Request) -> Response:
        json_format.Parse(await request.body(), sessions_pb2.LogOutRequest())
        return reply(sessions_pb2.LogOutResponse())

    async def get_user(self, request: Request) -> Response:
        return reply(self.user)

    async def update_user(self, request: Request) -> Response:
        return bad_query(request, users_pb2.UpdateUserRequest) or await self.change(request, self.user)

    async def get_preferences(self, request: Request) -> Response:
        return reply(self.settings)

    async def update_preferences(self, request: Request) -> Response:
        problem = bad_query(request, preferences_pb2.UpdatePreferencesRequest)
        return problem or await self.change(request, self.settings)


def proves(proof: second_factors_pb2.Proof) -> bool:
    return proof.password == PASSWORD or proof.totp_code == APP_CODE or proof.recovery_code == RECOVERY_CODE


def unproved() -> Response:
    return refuse(403, "PERMISSION_DENIED", "PROOF_REFUSED", "proof: the password or a code is needed")


def person(email: str) -> users_pb2.User:
    user = users_pb2.User(id=USER_ID, email=email, display_name="Ada", role="user")
    user.created_at.FromDatetime(NOW)
    user.updated_at.FromDatetime(NOW)
    return user
