"""Senders' formats turned into pushes. Each brings its own decoder; imports telemetry and what is below."""
