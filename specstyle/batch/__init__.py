"""Many jobs: a list of them, checked whole, run by workers that keep networks, told in a table."""
