"""The coaching profile and its versions, as Python: `Vitalis.coaching`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from vitalis_client.api.area import Area, of
from vitalis_client.contract import routes
from vitalis_client.contract.models import CoachingProfile, CompareProfileVersionsResponse, ProfileVersion


class Coaching(Area):
    """What one has decided about goals, limits, food, training and drinking, and how that changed.

    `proof` has one of `password`, `totp_code` and `recovery_code`: PROOF_REFUSED.
    An `etag` makes a change conditional: ETAG_MISMATCH. Methods raise
    VitalisError, as those of Vitalis do.
    """

    def profile(self, *, person: str = "") -> CoachingProfile:
        """The profile as it is. NOT_FOUND before the onboarding has ended."""
        return self._http.get(routes.GET_COACHING_PROFILE, None, **of(person))

    def update(
        self,
        values: Mapping[str, Any],
        reason: str,
        *,
        clear: Sequence[str] = (),
        proof: Mapping[str, str] | None = None,
        etag: str = "",
        person: str = "",
    ) -> CoachingProfile:
        """Changes fields: `update({"stress_level": "low"}, "back from holiday")`; a list or a part as a whole.

        A locked profile takes a proof, and stays locked. PROFILE_LOCKED for
        somebody with whom it is shared.
        """
        body = {
            "profile": dict(values),
            "update_mask": ",".join(camel(name) for name in (*values, *clear)),
            "modification_reason": reason,
            **_given(proof, etag),
        }
        return self._http.post(routes.UPDATE_COACHING_PROFILE, body, **of(person))

    def lock(self, *, etag: str = "") -> CoachingProfile:
        """Locks the profile; after the last step of the onboarding it makes it. ONBOARDING_INCOMPLETE."""
        return self._http.call(routes.LOCK_COACHING_PROFILE, {}, repeat=True, json=_given(None, etag))

    def unlock(self, reason: str, proof: Mapping[str, str], *, etag: str = "") -> CoachingProfile:
        """Unlocks the profile until it is locked again."""
        return self._http.post(routes.UNLOCK_COACHING_PROFILE, {"reason": reason, **_given(proof, etag)})

    def versions(self, *, page_size: int = 0) -> Iterator[ProfileVersion]:
        """What changed when, by whom and why, the newest first, without the profiles themselves."""
        return self._http.pages(routes.LIST_PROFILE_VERSIONS, {}, lambda page: page.profile_versions, page_size)

    def version(self, version: int) -> ProfileVersion:
        """One version with the profile as it was. NOT_FOUND."""
        return self._http.get(routes.GET_PROFILE_VERSION, version=str(version))

    def at(self, moment: datetime) -> ProfileVersion:
        """The version that held at a moment, an aware datetime. NOT_FOUND if there was none."""
        return self._http.get(routes.GET_PROFILE_AT, {"time": moment.isoformat()})

    def compare(self, from_version: int = 0, to_version: int = 0) -> CompareProfileVersionsResponse:
        """What two versions differ in: by default the newest and the one before."""
        params = {"from_version": from_version, "to_version": to_version}
        return self._http.get(routes.COMPARE_PROFILE_VERSIONS, params)

    def roll_back(self, version: int, reason: str, proof: Mapping[str, str], *, etag: str = "") -> CoachingProfile:
        """Makes the profile what it was in a version, as a new version."""
        body = {"version": version, "reason": reason, **_given(proof, etag)}
        return self._http.post(routes.ROLL_BACK_COACHING_PROFILE, body)


def camel(name: str) -> str:
    """A field's name as a mask within JSON has it."""
    return re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)


def _given(proof: Mapping[str, str] | None, etag: str) -> dict[str, Any]:
    return {**({"proof": dict(proof)} if proof else {}), **({"etag": etag} if etag else {})}
