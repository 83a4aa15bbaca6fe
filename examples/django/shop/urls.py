"""Two pages: the admin, and a count that shows whose data this process sees."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import JsonResponse
from django.urls import path


def whose(_request):
    """Names the tenant and counts its users."""
    return JsonResponse({"tenant": settings.TENANT, "users": get_user_model().objects.count()})


urlpatterns = [
    path("", whose),
    path("admin/", admin.site.urls),
]
