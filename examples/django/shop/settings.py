"""Settings of a Django project that does not know about tenants.

The connection comes from the environment. For a migration Tenantry sets PGHOST, PGPORT, PGUSER, PGPASSWORD,
PGDATABASE, TENANTRY_SCHEMA and TENANTRY_TENANT anew for every target; in service the same variables lead to
one tenant's schema or database, and search_path is the only thing that differs between them.
"""

import os
import secrets

env = os.environ.get


def startup_options(schema):
    """Returns libpq startup options that make `schema`, and nothing else, the search path.

    The name is quoted for SQL, then spaces and backslashes are escaped for the options string.
    """
    name = '"' + schema.replace('"', '""') + '"'
    return "-c search_path=" + name.replace("\\", "\\\\").replace(" ", "\\ ")


connection = {
    "application_name": "shop",
    "connect_timeout": 10,
}
if env("TENANTRY_SCHEMA"):
    connection["options"] = startup_options(env("TENANTRY_SCHEMA"))

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": env("PGHOST", ""),
        "PORT": env("PGPORT", ""),
        "USER": env("PGUSER", ""),
        "PASSWORD": env("PGPASSWORD", ""),
        "NAME": env("PGDATABASE", "postgres"),
        "OPTIONS": connection,
        # A pooler that gives each transaction another server connection cannot keep a cursor open between them.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}

# Which tenant this process serves; for logs and page titles only. Access is decided by the database role.
TENANT = env("TENANTRY_TENANT", "")

# A migration needs no lasting key. A server does: sessions end when the key changes.
SECRET_KEY = env("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = env("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
