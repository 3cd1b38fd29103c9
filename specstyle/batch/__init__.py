"""Many jobs: a list of them, checked whole, run by workers that keep networks and styles, told in a table."""
