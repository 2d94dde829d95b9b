"""The coaching profile with its versions."""

from datetime import UTC, timedelta
from typing import Any

from google.protobuf import json_format, timestamp_pb2
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.accounts import proves, unproved
from tests.client.server.base import NOW, USER, Place, bad_query, cut, refuse, reply
from tests.client.server.onboarding import Onboarding
from vitalis.identity.v1 import coaching_history_pb2, coaching_profile_pb2

PROFILE = USER + "/profile"


class Coaching(Onboarding):
    """Makes the profile when the onboarding is confirmed; versions are a day apart, the first at NOW."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[coaching_history_pb2.ProfileVersion] = []

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("GET", PROFILE, self.get_profile),
            ("PATCH", PROFILE, self.update_profile),
            ("PUT", PROFILE + "/lock", self.lock_profile),
            ("PUT", PROFILE + "/unlock", self.unlock_profile),
            ("GET", PROFILE + "/history", self.list_versions),
            ("GET", PROFILE + "/history/{version}", self.get_version),
            ("GET", PROFILE + ":at", self.profile_at),
            ("GET", PROFILE + ":compare", self.compare_versions),
            ("POST", PROFILE + ":rollBack", self.roll_back_profile),
        ]

    @property
    def profile(self) -> coaching_profile_pb2.CoachingProfile:
        return self.versions[-1].profile

    def keep(self, profile: coaching_profile_pb2.CoachingProfile, reason: str, *fields: str) -> Response:
        """Stores a version, and answers with its profile."""
        number = len(self.versions) + 1
        since = timestamp_pb2.Timestamp()
        since.FromDatetime(NOW + timedelta(days=number - 1))
        if self.versions:
            self.versions[-1].valid_until.CopyFrom(since)
        profile.version, profile.etag = number, str(number)
        for stamp in (profile.created_at, profile.updated_at):
            stamp.CopyFrom(since)
        profile.ClearField("locked_at")
        if profile.is_locked:
            profile.locked_at.CopyFrom(since)
        version = coaching_history_pb2.ProfileVersion(
            version=number, change_reason=reason, changed_by="user", changed_fields=fields, profile=profile
        )
        version.valid_from.CopyFrom(since)
        self.versions.append(version)
        return reply(profile)

    def copy(self) -> coaching_profile_pb2.CoachingProfile:
        copied = coaching_profile_pb2.CoachingProfile()
        copied.CopyFrom(self.profile)
        return copied

    async def get_profile(self, request: Request) -> Response:
        return reply(self.profile) if self.versions else absent()

    async def lock_profile(self, request: Request) -> Response:
        json_format.Parse(await request.body(), coaching_profile_pb2.LockCoachingProfileRequest())
        if self.versions:
            locked = self.copy()
            locked.is_locked = True
            return self.keep(locked, "locked", "is_locked")
        if not self.state.answers.confirmation.confirmed:
            fields = {"goals": "is missing"}
            return refuse(400, "FAILED_PRECONDITION", "ONBOARDING_INCOMPLETE", "goals: is missing", fields)
        answers = self.state.answers.goals
        made = coaching_profile_pb2.CoachingProfile(
            fitness_level="beginner", primary_goal=answers.primary_goal, goals=answers.goals, is_locked=True
        )
        made.meal_plan.daily_calories_target = 2000
        made.dietary_preferences.diet_type = "omnivore"
        made.workout_schedule.monday_workout = True
        made.hydration_preferences.SetInParent()
        self.complete()
        return self.keep(made, "onboarding")

    async def unlock_profile(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), coaching_profile_pb2.UnlockCoachingProfileRequest())
        if not proves(body.proof):
            return unproved()
        unlocked = self.copy()
        unlocked.is_locked = False
        return self.keep(unlocked, body.reason, "is_locked")

    async def update_profile(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), coaching_profile_pb2.UpdateCoachingProfileRequest())
        assert body.modification_reason
        if body.profile.etag or body.etag != self.profile.etag:
            return refuse(409, "ABORTED", "ETAG_MISMATCH", "it has changed meanwhile")
        if self.profile.is_locked and not proves(body.proof):
            return unproved()
        if not 0 <= body.profile.meal_plan.daily_calories_target <= 5000:
            fields = {"profile.meal_plan.daily_calories_target": "must be at most 5000"}
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", "it is wrong", fields)
        changed = self.copy()
        for path in body.update_mask.paths:
            changed.ClearField(path)  # type: ignore[arg-type]
        changed.MergeFrom(body.profile)
        if changed == self.profile:
            return reply(self.profile)
        return self.keep(changed, body.modification_reason, *body.update_mask.paths)

    async def roll_back_profile(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), coaching_history_pb2.RollBackCoachingProfileRequest())
        if not proves(body.proof):
            return unproved()
        back = coaching_profile_pb2.CoachingProfile()
        back.CopyFrom(self.versions[body.version - 1].profile)
        return self.keep(back, body.reason)

    async def list_versions(self, request: Request) -> Response:
        if problem := bad_query(request, coaching_history_pb2.ListProfileVersionsRequest):
            return problem
        bare = []
        for version in reversed(self.versions):
            row = coaching_history_pb2.ProfileVersion()
            row.CopyFrom(version)
            row.ClearField("profile")
            bare.append(row)
        rows, token = cut(request, bare)
        return reply(coaching_history_pb2.ListProfileVersionsResponse(profile_versions=rows, next_page_token=token))

    async def get_version(self, request: Request) -> Response:
        number = int(request.path_params["version"])
        return reply(self.versions[number - 1]) if 1 <= number <= len(self.versions) else absent()

    async def profile_at(self, request: Request) -> Response:
        if problem := bad_query(request, coaching_history_pb2.GetProfileAtRequest):
            return problem
        moment = timestamp_pb2.Timestamp()
        moment.FromJsonString(request.query_params["time"])
        wanted = moment.ToDatetime(tzinfo=UTC)
        held = [row for row in self.versions if row.valid_from.ToDatetime(tzinfo=UTC) <= wanted]
        return reply(held[-1]) if held else absent()

    async def compare_versions(self, request: Request) -> Response:
        if problem := bad_query(request, coaching_history_pb2.CompareProfileVersionsRequest):
            return problem
        to_ = int(request.query_params["to_version"]) or len(self.versions)
        from_ = int(request.query_params["from_version"]) or to_ - 1
        answer = coaching_history_pb2.CompareProfileVersionsResponse(from_version=from_, to_version=to_)
        one, other = (as_json(self.versions[number - 1].profile) for number in (from_, to_))
        for name in ("fitness_level", "secondary_goal", "goals"):
            if one.get(name) != other.get(name):
                difference = answer.differences.add(field=name)
                for side, values in ((getattr(difference, "from"), one), (difference.to, other)):
                    if name in values:
                        json_format.ParseDict(values[name], side)
        return reply(answer)


def absent() -> Response:
    return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is none")


def as_json(profile: coaching_profile_pb2.CoachingProfile) -> dict[str, Any]:
    return json_format.MessageToDict(profile, preserving_proto_field_name=True)
