"""What no address of ours can hold, refused before anything is looked up by it."""

from fastapi import Request

from openmanager.errors import InvalidInput, NotFound


async def possible(request: Request) -> None:
    """Raises NotFound for a path with NUL, which nothing stored has in its name, and InvalidInput for such a query.

    Postgres takes no text with that sign.
    """
    if "\0" in request.scope["path"]:
        raise NotFound("there is nothing at this address")
    for name, value in request.query_params.multi_items():
        if "\0" in name or "\0" in value:
            raise InvalidInput(name.replace("\0", "�"), "has the character NUL")
