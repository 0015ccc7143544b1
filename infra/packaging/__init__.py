"""Builds what is deployed: the layers and functions as zips for Lambda, and a container image's recipe.

`python -m infra.packaging` (`make package`) writes build/<arch>/. May import infra.serverless; nothing imports this.
"""
