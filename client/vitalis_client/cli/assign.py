"""`PATH=VALUE` as a change of a message: `meal_plan.daily_calories_target=2100`."""

import json
import re
import types
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from vitalis_client.cli.terminal import clean, usage
from vitalis_client.cli.units import Units

STEP = re.compile(r"([a-z][a-z0-9_]*)(?:\[(\d{1,4})\])?")


def changed(message: BaseModel, assignments: Iterable[str], units: Units) -> dict[str, Any]:
    """The fields of a message that assignments change, each as a whole, as JSON; None for one that is cleared.

    An entry of a list is named by its index, `goals[0].priority=2`; a list of
    texts has commas between them; a part or a list can be JSON; nothing clears.
    Raises VitalisError (USAGE) for a path that is none and a value of the wrong type.
    """
    values = message.model_dump(mode="json", exclude_none=True)
    touched: dict[str, None] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise usage(f"{clean(assignment)}: is no PATH=VALUE")
        try:
            put(type(message), values, path, text, units)
        except ValueError as error:
            raise usage(f"{clean(path)}: {error}") from None
        touched[path.partition(".")[0].partition("[")[0]] = None
    return {name: values.get(name) for name in touched}


def put(model: type[BaseModel], values: dict[str, Any], path: str, text: str, units: Units) -> None:
    """Sets what a path leads to within `values`. Raises ValueError, which says what is wrong."""
    step, _, rest = path.partition(".")
    found = STEP.fullmatch(step)
    field = model.model_fields.get(found[1]) if found else None
    if not found or field is None:
        meant = get_close_matches(step, model.model_fields, n=1)
        others = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(model.model_fields)}"
        raise ValueError(f"there is no such field; {others}")
    name, kind = found[1], without_none(field.annotation)
    holder: Any = values
    key: Any = name
    if found[2]:
        holder, key, kind = values.get(name), int(found[2]), get_args(kind)[0] if get_origin(kind) is list else None
        if not isinstance(holder, list) or key >= len(holder):
            raise ValueError("there is no entry of that number")
    if rest:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            raise ValueError("has no fields" if found[2] or get_origin(kind) is not list else "name an entry: [0]")
        inner = holder[key] if found[2] else holder.setdefault(key, {})
        put(kind, inner, rest, text, units)
    elif text:
        holder[key] = convert(name, kind, text, units)
    elif found[2]:
        del holder[key]
    else:
        holder.pop(key, None)


def convert(name: str, kind: Any, text: str, units: Units) -> Any:
    """A value of a field's type. Raises ValueError, which says what is expected."""
    if units.of(name):
        return units.read(name, text)
    if text[0] in "[{":
        return json.loads(text)
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        if get_origin(kind) is list:
            parts = [part.strip() for part in text.split(",")]
            value = adapter.validate_python([part for part in parts if part])
        else:
            value = adapter.validate_strings(text)
        return adapter.dump_python(value, mode="json")
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None


def without_none(annotation: Any) -> Any:
    """The type of a field that may be absent."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation
