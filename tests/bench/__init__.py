"""Measurements of what the budgets are about: `python -m tests.bench`. Ratios count; seconds depend on the machine."""
