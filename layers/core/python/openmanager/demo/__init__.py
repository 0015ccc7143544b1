"""The demo fleet: invented servers that behave like real ones and go wrong on purpose, by the ordinary ingest door.

`runs` starts and stops it, `feeding` sends each minute, `generator` makes the samples, `scenarios` knows what is true.
`fleet`, `scenarios` and `runs` work without numpy, so that the function that starts a run need not load it.
"""
