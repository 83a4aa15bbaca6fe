"""What the Django project answers."""

from django.urls import path

from notes import views

urlpatterns = [path("notes", views.notes), path("notes/<int:key>", views.note)]
