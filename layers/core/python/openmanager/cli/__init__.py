"""What of the command line needs no installation: `openmanager evaluate …`, or `python -m openmanager evaluate …`.

One module a command; each imports what it needs when it runs, so that help costs nothing. Imports anything but watch.
No function imports it, so it is in no layer. The command `openmanager` itself is infra/command.
"""
