"""What a request says: JSON of a limited size, each field as what it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fallline._text import shortened


class RequestError(Exception):
    """A request that is refused; `status` is HTTP's, `sentence` says what was wrong and what to do."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def answer(content: Any, status: int = 200) -> Response:
    """Plain data as JSON in ASCII, so that text of any kind gets through, and without NaN, which is none."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def refused(error: RequestError) -> Response:
    """A refusal as JSON: {"error": sentence}."""
    return answer({"error": error.sentence}, error.status)


#: A larger or smaller number than these is of no use to anybody.
LARGEST = 1e12
_SHOWN = 40


class Fields:
    """Reads the fields of an object, which is called `name` in refusals; `done` refuses those that nobody asked for.

    Every method raises RequestError with status 422.

    >>> fields = Fields({"steps": 12})
    >>> fields.whole("steps", 1, 100, 50), fields.whole("seed", 0, 9, 0)
    (12, 0)
    """

    def __init__(self, content: Mapping[str, Any], name: str = "") -> None:
        self._content, self._name, self._read = content, name, set[str]()

    def has(self, key: str) -> bool:
        """Whether a field is there and not null."""
        self._read.add(key)
        return self._content.get(key) is not None

    def value(self, key: str) -> Any:
        """A field as it came, or None."""
        self._read.add(key)
        return self._content.get(key)

    def number(self, key: str, low: float = -LARGEST, high: float = LARGEST, default: float | None = None) -> float:
        """A number from low to high; without a default it must be there."""
        return self._number(key, self.value(key), low, high) if self.has(key) else self._missing(key, default)

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number from low to high."""
        value = self.number(key, low, high, default)
        if value != int(value):
            self._refuse(key, "a whole number", value)
        return int(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self.value(key) if self.has(key) else self._missing(key, default)
        return value if isinstance(value, str) else self._refuse(key, "a text", value)

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """One of some texts."""
        value = self.text(key, default)
        return value if value in options else self._refuse(key, f"one of {', '.join(options)}", value)

    def truth(self, key: str) -> bool:
        """A truth value, false where it is missing."""
        value = self.value(key)
        return bool(value) if value is None or isinstance(value, bool) else self._refuse(key, "true or false", value)

    def point(self, key: str, default: tuple[float, float] | None = None) -> tuple[float, float]:
        """Two numbers."""
        first, second = self._list(key, 2, 2) if self.has(key) else self._missing(key, default)
        return self._number(key, first), self._number(key, second)

    def numbers(self, key: str, most: int, low: float, high: float, default: Sequence[float]) -> list[float]:
        """At most so many numbers from low to high, at least one."""
        if not self.has(key):
            return list(default)
        return [self._number(key, value, low, high) for value in self._list(key, 1, most)]

    def objects(self, key: str, most: int) -> list[Fields]:
        """At most so many objects, at least one."""
        found = self._list(key, 1, most)
        return [self._object(f"{key}[{place}]", value) for place, value in enumerate(found)]

    def object(self, key: str) -> Fields:
        """An object, empty where it is missing."""
        return self._object(key, self.value(key) if self.has(key) else {})

    def done(self) -> None:
        """Refuse fields that nobody asked for."""
        for key in self._content.keys() - self._read:
            known = ", ".join(sorted(self._read))
            raise RequestError(422, f"There is no field {shortened(repr(self._path(key)), _SHOWN)}; there are {known}.")

    def _number(self, key: str, value: Any, low: float = -LARGEST, high: float = LARGEST) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self._refuse(key, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def _list(self, key: str, least: int, most: int) -> list[Any]:
        value = self.value(key)
        if isinstance(value, list) and least <= len(value) <= most:
            return value
        count = f"{least}" if least == most else f"{least} to {most}"
        return self._refuse(key, f"a list of {count}", value)

    def _object(self, key: str, value: Any) -> Fields:
        return Fields(value, self._path(key)) if isinstance(value, dict) else self._refuse(key, "an object", value)

    def _missing(self, key: str, default: Any) -> Any:
        if default is None:
            raise RequestError(422, f"The field {self._path(key)} is missing.")
        return default

    def _refuse(self, key: str, wanted: str, value: Any) -> NoReturn:
        raise RequestError(422, f"The field {self._path(key)} must be {wanted}; got {shortened(repr(value), _SHOWN)}.")

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


LARGEST_BODY = 64 * 1024


async def read_fields(request: Request) -> Fields:
    """The fields of the JSON object in a request's body; raises RequestError for what is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, "The body must be JSON: send it with Content-Type application/json.")
    try:
        content = json.loads(await _read(request), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestError(400, "The body is not JSON that can be read; send one JSON object.") from None
    if not isinstance(content, dict):
        raise RequestError(422, "The body must be a JSON object, as {...}.")
    return Fields(content)


async def _read(request: Request) -> bytes:
    """The bytes, counted as they come: what the header says of their number is not to be trusted."""
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BODY:
                raise RequestError(413, f"The body is longer than {LARGEST_BODY // 1024} kB; send a shorter one.")
    except ClientDisconnect:
        raise RequestError(400, "The body broke off; send it again.") from None
    return bytes(content)


def _no_number(text: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python would read."""
    raise ValueError(text)
