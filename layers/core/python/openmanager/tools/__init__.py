"""What programs ask of the fleet, one table for the assistant and for MCP: what our routes answer, by their roles."""
