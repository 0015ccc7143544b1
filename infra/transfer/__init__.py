"""History out of an OpenManager and into one: files of samples, written from its API and sent through its ingest door.

Nothing here reaches a store; may import the catalogue, and `pyarrow` where Parquet is asked for.
"""
