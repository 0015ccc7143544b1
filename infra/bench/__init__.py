"""Measurements of what the budgets are about: `python -m infra.bench`. Ratios count; seconds depend on the machine."""
