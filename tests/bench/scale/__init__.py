"""How it goes on with more servers: measured where this machine can hold them, then arithmetic against limits.

`fleet` makes servers of any number, `worker` is one process that does one job with a real function, `simulate` runs the
jobs of one size over real stores, `model` says with what was measured and `limits.json` what gives way first and at how
many servers, `report` prints it all.
"""
