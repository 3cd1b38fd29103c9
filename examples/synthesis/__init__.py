"""Sounds and pictures drawn by code, for the demo and the tests: no recordings, no photographs."""
