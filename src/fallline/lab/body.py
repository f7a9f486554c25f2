"""The body of a request: JSON of a limited size, read within a limited time."""

from __future__ import annotations

import asyncio
import json
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request

from fallline.lab.errors import RequestError
from fallline.lab.fields import Fields

LARGEST_BODY = 64 * 1024
_SECONDS = 10


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
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > LARGEST_BODY:
                    raise RequestError(413, f"The body is longer than {LARGEST_BODY // 1024} kB; send a shorter one.")
    except TimeoutError:
        raise RequestError(408, f"The body did not come within {_SECONDS} s; send it again.") from None
    except ClientDisconnect:
        raise RequestError(400, "The body broke off; send it again.") from None
    return bytes(content)


def _no_number(text: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python would read."""
    raise ValueError(text)
