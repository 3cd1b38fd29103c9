"""Runs: from a request to a result, in memory or from files to files."""
