"""Our MCP server: what the routes answer, for programs that speak the Model Context Protocol.

Everything goes through `openmanager.tools`. `server` and `door` load the library `mcp`, so only functions/mcp may.
"""
