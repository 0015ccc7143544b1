"""The command line: `python3 run.py evaluate …` or, with the package on the path, `python -m openmanager evaluate …`.

One module a command; each imports what it needs when it runs, so that help costs nothing. Imports anything but watch.
"""
