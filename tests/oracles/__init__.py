"""What the published systems' own libraries give: outsiders to hold specstyle against."""
