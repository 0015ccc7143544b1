"""What it costs: a price list, the month's statement from what was counted, and an estimate before anything runs.

`prices` and `statement` are pure; the counts come from `stores.usage`.
"""
