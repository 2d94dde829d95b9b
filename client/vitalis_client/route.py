"""One RPC as HTTP sees it."""

from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Route(Generic[Answer]):
    """An HTTP method, a path with `{fields}`, and the model of the answer."""

    method: str
    path: str
    answer: type[Answer]

    def url(self, **fields: str) -> str:
        """The path with its fields filled in, each escaped as one segment."""
        return self.path.format_map({name: quote(value, safe="") for name, value in fields.items()})
