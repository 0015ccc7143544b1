"""Recorded servers: the files that ship with us, and the reading of these and others. Imports the catalogue only."""
