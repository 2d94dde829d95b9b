"""An administrator, and the consent that a reset takes."""

from dataclasses import dataclass, replace
from typing import Any

from tests.harness import person
from tests.identity.conftest import Identity
from tests.identity.onboarding.people import Onboarder
from vitalis.identity.v1 import consents_pb2, consents_pb2_grpc, onboarding_admin_pb2_grpc
from vitalis.identity.v1 import onboarding_admin_pb2 as pb


@dataclass(frozen=True)
class Admin:
    identity: Identity
    id: str

    @property
    def stub(self) -> "onboarding_admin_pb2_grpc.OnboardingAdminServiceAsyncStub":
        return onboarding_admin_pb2_grpc.OnboardingAdminServiceStub(self.identity.running.channel)

    def metadata(self, subject: str = "", role: str = "admin") -> Any:
        return self.identity.metadata(replace(person(self.id, role), subject=subject or self.id))

    async def incomplete(self, **asked: Any) -> pb.ListIncompleteOnboardingsResponse:
        request = pb.ListIncompleteOnboardingsRequest(**asked)
        return await self.stub.ListIncompleteOnboardings(request, metadata=self.metadata())

    async def reset(self, user_id: str, **given: Any) -> pb.IncompleteOnboarding:
        request = pb.ResetOnboardingRequest(**{"user_id": user_id, "reason": "they asked us to", **given})
        return (await self.stub.ResetOnboarding(request, metadata=self.metadata(user_id))).onboarding

    async def funnel(self, **asked: Any) -> pb.GetOnboardingFunnelResponse:
        return await self.stub.GetOnboardingFunnel(pb.GetOnboardingFunnelRequest(**asked), metadata=self.metadata())


async def consent(ada: Onboarder, purpose: str = "onboarding_reset") -> None:
    stub = consents_pb2_grpc.ConsentsServiceStub(ada.identity.running.channel)
    request = consents_pb2.GiveConsentRequest(user_id=ada.user_id, purpose=purpose, version="1")
    await stub.GiveConsent(request, metadata=ada.identity.metadata(ada.caller))
