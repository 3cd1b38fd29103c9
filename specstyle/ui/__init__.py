"""A web page on this machine: jobs are asked for, watched, stopped and gone on with in a browser."""
