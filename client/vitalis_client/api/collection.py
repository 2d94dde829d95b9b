"""Things of one kind that a person adds, changes and takes out."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from vitalis_client.api.area import of
from vitalis_client.http import Http
from vitalis_client.route import Route

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Collection(Generic[Row]):
    """The standard methods of a kind. NOT_FOUND for an id that is none; methods raise VitalisError."""

    http: Http
    create: Route[Row]
    read: Route[Row]
    list_: Route[Any]
    update: Route[Row]
    remove: Route[Any]
    undelete: Route[Row]
    rows: Callable[[Any], list[Row]]

    def all(self, *, page_size: int = 0, person: str = "") -> Iterator[Row]:
        """All of them, the newest first, without what is long: notes and raw data."""
        return self.http.pages(self.list_, {}, self.rows, page_size, person)

    def get(self, id: str, *, person: str = "") -> Row:
        """One, whole."""
        return self.http.get(self.read, None, id=id, **of(person))

    def add(self, values: Mapping[str, Any]) -> Row:
        """Adds one, with the API's field names."""
        once = {"idempotency-key": str(uuid.uuid4())}
        return self.http.call(self.create, {}, repeat=True, json=dict(values), headers=once)

    def change(self, id: str, values: Mapping[str, Any], *, clear: Sequence[str] = ()) -> Row:
        """Changes fields and clears others; a list in it is replaced as a whole."""
        return self.http.patch(self.update, values, clear, id=id)

    def delete(self, id: str) -> None:
        """Takes one out; `restore` brings it back."""
        self.http.call(self.remove, {"id": id}, repeat=False)

    def restore(self, id: str) -> Row:
        """Brings one back that was taken out."""
        return self.http.post(self.undelete, {}, id=id)
