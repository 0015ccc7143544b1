"""The HTTP edge: app factory, problem details, authentication, SSE."""
