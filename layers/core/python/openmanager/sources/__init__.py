"""Senders' formats turned into pushes. Imports telemetry and the ground floor; each module brings its own decoder."""
