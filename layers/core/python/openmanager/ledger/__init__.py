"""The ledger: what was predicted, what came of it, and what that makes the predictions worth. Pure."""
