"""The domain of OpenManager. Imports point down only; see the list of floors in docs/architecture.md."""

import gc

# Importing makes some hundred thousand objects and next to no garbage, which Python would look for sixty times.
gc.set_threshold(50_000, 20, 50)
