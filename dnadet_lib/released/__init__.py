"""The data set that the paper's authors released: its tree, its set-ups, its lists."""
