"""What somebody proves themselves with besides the password: a part of `Vitalis`."""

from collections.abc import Mapping

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import BeginTotpResponse, GetSecondFactorsResponse


class SecondFactors(Area):
    """An authenticator app and recovery codes. What changes them takes the password or a factor: PROOF_REFUSED."""

    def second_factors(self) -> GetSecondFactorsResponse:
        """Which second factors the person has."""
        return self._http.get(routes.GET_SECOND_FACTORS)

    def begin_totp(self, proof: Mapping[str, str]) -> BeginTotpResponse:
        """A secret for an authenticator app; it counts once `confirm_totp` has seen a code of it.

        `proof` has one of `password`, `totp_code` and `recovery_code`.
        """
        return self._http.post(routes.BEGIN_TOTP, {"proof": dict(proof)})

    def confirm_totp(self, totp_code: str) -> list[str]:
        """Turns the authenticator app on. Recovery codes, if there were none. CODE_WRONG."""
        return self._http.post(routes.CONFIRM_TOTP, {"totp_code": totp_code}).recovery_codes

    def remove_totp(self, proof: Mapping[str, str]) -> None:
        """Turns the authenticator app off. NOT_FOUND if it is not on."""
        self._http.post(routes.REMOVE_TOTP, {"proof": dict(proof)})

    def regenerate_recovery_codes(self, proof: Mapping[str, str]) -> list[str]:
        """Ten new recovery codes; the earlier ones stop working. NOT_FOUND without a second factor."""
        return self._http.post(routes.REGENERATE_RECOVERY_CODES, {"proof": dict(proof)}).recovery_codes
