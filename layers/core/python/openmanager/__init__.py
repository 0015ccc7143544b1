"""The domain of OpenManager. Imports point down only; see the list of floors in the README."""
