"""What surrounds the functions: the one-machine stack, migrations, agents, packaging.

Nothing in functions/ or layers/ imports from here.
"""
