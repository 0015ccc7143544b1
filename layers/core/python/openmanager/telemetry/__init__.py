"""Numbers on their way: samples, the frame codec, the minute grid, folding, scaling. Pure; imports the ground floor only."""
