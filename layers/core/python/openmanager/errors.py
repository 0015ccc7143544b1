"""What can go wrong, named after what it means to the caller. HTTP learns of it in `web.problems` only."""


class OpenManagerError(Exception):
    """Any error of ours; the message is fit for the caller's eyes."""


class InvalidInput(OpenManagerError):
    """The caller sent something we cannot take; `field` names where, as a path such as `samples[3].time`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = message


class PayloadTooLarge(OpenManagerError):
    """The body, or what it decompresses to, is over the stated limit."""


class UnsupportedMediaType(OpenManagerError):
    """The body's type or encoding is not one that this route reads."""


class Unauthorized(OpenManagerError):
    """No credential, or one that we do not know."""


class Forbidden(OpenManagerError):
    """The caller is known and may not do this."""


class TooManyRequests(OpenManagerError):
    """The caller's budget is used up for now; `retry_after_s` says until when."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SlowDown(TooManyRequests):
    """The same, to senders that drop their data when they hear of too many requests."""


class NotFound(OpenManagerError):
    """The thing asked for does not exist."""


class Full(OpenManagerError):
    """There is no room for it beside what is there already."""


class Disabled(OpenManagerError):
    """The thing asked for is there, and switched off by its settings."""


class ServerFailed(OpenManagerError):
    """An outside MCP server did not start, ended, or answered nonsense; the message names it and says why."""


class ServerTimedOut(OpenManagerError):
    """An outside MCP server did not answer in time; the message names it."""


class StoreUnavailable(OpenManagerError):
    """A store did not answer in time or answered nonsense; trying again later may help."""


class IssuerUnavailable(OpenManagerError):
    """The identity provider's keys are not known and cannot be read; trying again later may help."""


class DamagedFrame(OpenManagerError):
    """Stored bytes that do not decode; the message names the frame."""


class ModelUnavailable(OpenManagerError):
    """A model file is missing, damaged or of the wrong shape; the message names file and reason."""


class InvalidSettings(OpenManagerError):
    """A setting is missing or unusable; the message names the variable."""
