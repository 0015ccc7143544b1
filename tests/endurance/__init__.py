"""The whole local stack for an hour of faults, and what of it came through: `python -m tests.bench endurance`.

`plan` says what goes wrong and when, `stack` starts everything with doors between, `faults` brings each fault about,
`senders`, `readers` and `people` use it meanwhile, `account` counts what came of it, `soak` looks for what grows.
"""
