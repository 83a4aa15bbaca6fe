"""Views, each in a transaction of its own by ATOMIC_REQUESTS."""

import json

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from notes.models import Note


def notes(request):
    if request.method == "POST":
        wanted = json.loads(request.body)
        made = Note.objects.create(body=wanted["body"])
        if wanted.get("fail"):
            raise RuntimeError("the request fails after it has written")
        return JsonResponse({"id": made.pk}, status=201)
    return JsonResponse({"bodies": list(Note.objects.values_list("body", flat=True))})


def note(request, key):
    found = get_object_or_404(Note, pk=key)
    if request.method == "DELETE":
        found.delete()
        return HttpResponse(status=204)
    return JsonResponse({"id": found.pk, "body": found.body})
