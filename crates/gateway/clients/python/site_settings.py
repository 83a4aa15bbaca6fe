"""The settings of the Django project: one place, reached in the ways that Django offers."""

import os
from urllib.parse import parse_qsl, unquote, urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])
_place = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": unquote(_url.path[1:]),
    "USER": unquote(_url.username),
    "PASSWORD": unquote(_url.password or ""),
    "HOST": _url.hostname,
    "PORT": _url.port,
    "ATOMIC_REQUESTS": True,
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
}
_options = dict(parse_qsl(_url.query))


def _way(options=None, **settings):
    return {**_place, **settings, "OPTIONS": {**_options, **(options or {})}}


DATABASES = {
    "default": _way(),
    "bound": _way({"server_side_binding": True, "prepare_threshold": 1}),
    "serializable": _way({"isolation_level": 4}),  # psycopg.IsolationLevel.SERIALIZABLE
    "tokyo": _way(TIME_ZONE="Asia/Tokyo"),
    "pool": _way({"pool": {"min_size": 2, "max_size": 4}}, CONN_MAX_AGE=0),
}
INSTALLED_APPS = ["notes"]
ROOT_URLCONF = "notes.urls"
SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = {"version": 1, "disable_existing_loggers": True}
