"""Management of the Django application."""
