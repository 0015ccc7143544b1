"""The command `openmanager`: which commands there are, and those that ask a running installation over its API.

Imports anything of infra and openmanager.cli; nothing imports it. Help loads the standard library alone, and each
command what it needs when it is called.
"""
