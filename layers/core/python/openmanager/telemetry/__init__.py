"""Numbers on their way: samples, frames, the grid, folding, scaling. Pure; imports the ground floor only."""
