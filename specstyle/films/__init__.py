"""Films: their pictures, their sound, both; with a style each."""
