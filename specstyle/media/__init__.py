"""Media: files to images and back."""
