"""What stops a build."""


class CannotPackage(Exception):
    """Nothing can be built, or what was built would not run. The message says what is wrong and what to do."""
