"""Small networks that stylize in one pass: what they are, their files, how they learn."""
