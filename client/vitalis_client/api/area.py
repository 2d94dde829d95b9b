"""What the areas of the API share."""

from vitalis_client.http import Http


class Area:
    """A group of the API's methods, on one connection."""

    def __init__(self, http: Http) -> None:
        self._http = http


def of(person: str) -> dict[str, str]:
    """The field of a URL that names somebody who shares; none for oneself."""
    return {"user_id": person} if person else {}
