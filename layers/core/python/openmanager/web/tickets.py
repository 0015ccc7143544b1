"""Single-use tickets for what cannot send a header: the browser's EventSource. They open streams and nothing else."""

import asyncio
from typing import Annotated

from fastapi import Depends, Query, Request

from openmanager import acting
from openmanager.errors import Unauthorized
from openmanager.security.roles import Identity
from openmanager.stores import tickets
from openmanager.web import limits
from openmanager.web.auth import VIEWERS, Guard, Sent
from openmanager.web.client import client_address

Ticket = Annotated[str | None, Query(description="from POST /api/stream/ticket, in place of the bearer", max_length=64)]


class TicketGuard(Guard):
    """A guard that takes a ticket as well, which only who passes the same guard is given."""

    async def __call__(self, request: Request, sent: Sent, ticket: Ticket = None) -> Identity:
        """Who calls, if they may. Raises as Guard does."""
        if ticket is None:
            return await super().__call__(request, sent)
        await limits.admit_stranger(request)
        holder = await asyncio.to_thread(tickets.redeem, ticket)
        if holder is None:
            raise Unauthorized("this ticket is used, older than 30 s, or none of ours; ask for another")
        await limits.admit(request, holder)
        acting.begin(holder, client_address(request.scope))
        request.state.role = "viewer"
        return Identity(holder, "viewer")


# As `web.Viewer`, or with a ticket.
TicketHolder = Annotated[Identity, Depends(TicketGuard(*VIEWERS))]
