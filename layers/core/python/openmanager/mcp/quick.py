"""Makes the library's import shorter: `door` and `server` import this before anything of `mcp`.

Its packages gather clients and a second kind of server too, a third of what a server of ours needs of it.
"""

from openmanager.unloaded import unload

unload("mcp")
unload("mcp.server")
