"""What each tool looks up and how it says it; the schemas are in `mcp.listed`."""
