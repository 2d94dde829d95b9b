"""Puts the parts of onboarding together: what they serve, the job, and the confirmation that locking a profile is."""

from collections.abc import Mapping
from typing import NamedTuple

import grpc

from services.identity.onboarding import OnboardingServicer
from services.identity.onboarding.admin import OnboardingAdminServicer
from services.identity.onboarding.confirm import Confirmation
from services.identity.onboarding.definitions import load
from services.identity.onboarding.hand_over import HandOver
from services.kit.database import Database
from services.kit.jobs import Jobs


class Onboarding(NamedTuple):
    servicers: list[object]
    confirmation: Confirmation


def onboarding(
    default_flow: str, database: Database, jobs: Jobs, channels: Mapping[str, grpc.aio.Channel]
) -> Onboarding:
    """The servicers, and what makes a profile of an onboarding; declares the job. `channels` lead to other services."""
    flows = load(default_flow)
    hand_over = HandOver(database, flows, channels).declare(jobs)
    servicers = [OnboardingServicer(database, flows), OnboardingAdminServicer(database, flows)]
    return Onboarding(servicers, Confirmation(flows, jobs, hand_over))
