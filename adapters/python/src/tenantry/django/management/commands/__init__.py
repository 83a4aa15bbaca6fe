"""Commands of the Django application."""
