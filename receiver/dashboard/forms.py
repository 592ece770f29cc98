"""What a form says."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from ..errors import NoAccess

#: Bytes and fields of a form.
LARGEST, FIELDS = 64 * 1024, 100


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a posted form, the last of each name. Raises NoAccess if it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise NoAccess(f"a form has at most {LARGEST} bytes", status=413)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError:
        raise NoAccess(f"a form has at most {FIELDS} fields", status=413) from None
