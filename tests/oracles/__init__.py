"""The published systems once more, in NumPy and by hand: outsiders to hold specstyle against."""
