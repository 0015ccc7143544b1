"""Why a deployment does not go on."""


class CannotDeploy(Exception):
    """The message says what is wrong, `do` what to do about it."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.do = do
