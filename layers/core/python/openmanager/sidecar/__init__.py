"""Outside MCP servers, as mcp_settings.json names them: listed, started, called within limits.

Only what runs in the mcp function loads the library `mcp`; other functions ask through `sidecar.invoke`.
"""
