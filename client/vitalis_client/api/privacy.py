"""Taking one's data along, leaving, and what one has agreed to, as Python: `Vitalis.privacy`."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import Consent, Deletion, Export
from vitalis_client.errors import unexpected

POLL_SECONDS = 1.0
WITH_FILE = frozenset({"ready", "downloaded"})
UNFINISHED = frozenset({"queued", "processing"})


class Privacy(Area):
    """Exports, deletion and consents.

    Methods raise VitalisError, as those of Vitalis do.
    """

    def export(self) -> Export:
        """Asks for a file with everything that is held about one. EXPORT_RUNNING while one is being made."""
        return self._http.post(routes.CREATE_EXPORT, {})

    def get_export(self, export_id: str) -> Export:
        """One export as it is now."""
        return self._http.get(routes.GET_EXPORT, id=export_id)

    def exports(self) -> Iterator[Export]:
        """The exports that one has asked for, the newest first."""
        return self._http.pages(routes.LIST_EXPORTS, {}, lambda page: page.exports)

    def wait_for_export(self, export_id: str) -> Export:
        """The export once it is ready, or was given up."""
        while (export := self.get_export(export_id)).status in UNFINISHED:
            self._http.pause(POLL_SECONDS)
        return export

    def export_link(self, export_id: str) -> str:
        """A URL that leads to the file without logging in. EXPORT_NOT_READY without a file."""
        return self._http.post(routes.CREATE_EXPORT_LINK, {}, id=export_id).url

    def download(self, export: Export, path: Path | str) -> None:
        """Downloads the file; it is there as a whole and as the server made it, or not at all."""
        target = Path(path)
        part = target.with_name(f".{target.name}.part")
        digest = hashlib.sha256()
        # The server may know itself by another name than this machine knows it by.
        url = httpx.URL(self.export_link(export.id)).path
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                for chunk in self._http.file(url):
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != export.file_sha256:
                raise unexpected(200, "sent a file that is not the one it made")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def revoke_export(self, export_id: str) -> Export:
        """Removes the file, so that no link to it works any more."""
        return self._http.post(routes.REVOKE_EXPORT, {}, id=export_id)

    def delete_account(self, password: str) -> Deletion:
        """Asks for everything to be erased in thirty days. PROOF_REFUSED, DELETION_PENDING."""
        return self._http.post(routes.CREATE_DELETION, {"proof": {"password": password}})

    def erase_mental_wellness(self, password: str) -> Deletion:
        """Has that data alone erased, at once and for good. PROOF_REFUSED, DELETION_PENDING."""
        return self._http.post(routes.ERASE_MENTAL_WELLNESS, {"proof": {"password": password}})

    def deletions(self) -> Iterator[Deletion]:
        """What one asked to have erased, the newest first."""
        return self._http.pages(routes.LIST_DELETIONS, {}, lambda page: page.deletions)

    def cancel_deletion(self, deletion_id: str) -> Deletion:
        """Changes one's mind. DELETION_STARTED when the thirty days have passed."""
        return self._http.post(routes.CANCEL_DELETION, {}, id=deletion_id)

    def cancel_deletion_by_token(self, token: str) -> None:
        """The same with the token of the mail, without being logged in. DELETION_TOKEN_INVALID."""
        self._http.open(routes.CANCEL_DELETION_BY_TOKEN, {"token": token})

    def give_consent(self, purpose: str, version: str) -> Consent:
        """Agrees to a purpose, in the version of its text that one was shown."""
        return self._http.post(routes.GIVE_CONSENT, {"purpose": purpose, "version": version})

    def withdraw_consent(self, purpose: str) -> Consent:
        """Agrees no more. CONSENT_NOT_GIVEN if one did not."""
        return self._http.post(routes.WITHDRAW_CONSENT, {"purpose": purpose})

    def consents(self, *, purpose: str = "") -> Iterator[Consent]:
        """What one gave and withdrew, the newest first."""
        return self._http.pages(routes.LIST_CONSENTS, {"purpose": purpose}, lambda page: page.consents)
