"""How every command ends: the exit codes, and what help says of them."""

DONE, FAILED, USAGE, PARTLY, UNREACHABLE, NOT_ALLOWED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_MEANINGS = {
    DONE: "done",
    FAILED: "it could not be done, and why is said",
    USAGE: "the command line is wrong",
    PARTLY: "done, and what was found or left out needs a look",
    UNREACHABLE: "no installation answers at the address",
    NOT_ALLOWED: "the key is not accepted, or its role may not do this",
    INTERRUPTED: "interrupted",
}


def explained(*codes: int) -> str:
    """The end of a command's help: what its exit codes mean."""
    return "exit codes:\n" + "".join(f"  {code:<5}{_MEANINGS[code]}\n" for code in codes)
