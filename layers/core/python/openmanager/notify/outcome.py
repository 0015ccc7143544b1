"""What came of one attempt to send."""

from typing import Literal

from openmanager.values import frozen

# For the whole of one attempt, from resolving the name to the end of the answer.
LIMIT_S = 10.0

Kind = Literal["delivered", "later", "refused"]


@frozen
class Outcome:
    """delivered; later: may go well when tried again; refused: it never will. `status` is the receiver's, if any."""

    kind: Kind
    detail: str
    status: int | None = None
    retry_after_s: float | None = None
