"""Django: backend, middleware, models, check and command, against every level."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.utils import IntegrityError, ProgrammingError
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from world import BASE_DOMAIN, Dev, canary

import tenantry
from tenantry import TenantMismatch, TenantScopeMissing
from tenantry.testing import django_models, scope_suite

if not settings.configured:
    settings.configure(
        SECRET_KEY="for tests",
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "tenantry.django.backend"}},
        INSTALLED_APPS=["tenantry.django", "shop"],
        MIDDLEWARE=["tenantry.django.middleware.TenantMiddleware"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        TIME_ZONE="Europe/Vienna",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASE_ROUTERS=[],
        TENANTRY={
            "base_domains": [BASE_DOMAIN],
            "plain_hosts": ["testserver"],
            "path_prefix": "/t/",
            "trusted_peers": ["127.0.0.1"],
            "exempt_models": {"shop.Country": "the same rows for everybody", "shop.PlacedChannel": "a second view"},
        },
    )
    django.setup()

from shop.models import Channel, Country, Message, PlacedChannel


def listing(request: HttpRequest) -> JsonResponse:
    bodies = list(
        Message.objects.for_current_tenant().filter(body__startswith="canary-").values_list("body", flat=True)
    )
    return JsonResponse({"tenant": request.tenant.slug, "bodies": bodies, "path": request.path_info})  # type: ignore[attr-defined]


def adding(request: HttpRequest) -> JsonResponse:
    Channel.objects.create(name=request.GET["name"])
    if "fail" in request.GET:
        raise RuntimeError("on purpose")
    if "broken" in request.GET:
        return JsonResponse({}, status=502)
    return JsonResponse({})


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        for _ in range(3):
            with transaction.atomic():
                yield f"{tenantry.current().slug} {Channel.objects.count() > 0}\n"

    return StreamingHttpResponse(parts())


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"tenant": tenantry.current_or_none() is not None})


async def asynchronous(request: HttpRequest) -> JsonResponse:
    from asgiref.sync import sync_to_async

    def count() -> int:
        with transaction.atomic():
            return Channel.objects.count()

    return JsonResponse({"tenant": tenantry.current().slug, "some": await sync_to_async(count)() > 0})


urlpatterns = [
    path("messages", listing),
    path("add", adding),
    path("stream", streaming),
    path("livez", health),
    path("async", asynchronous),
]


@pytest.fixture(autouse=True)
def configured(dev: Dev, seeded: None) -> Iterator[None]:
    from tenantry.django.backend import base

    tenantry.configure(dev.settings())
    connections["default"].settings_dict["OPTIONS"] = {"url": dev.url, "token_file": dev.token_file}
    yield
    assert tenantry.current_or_none() is None
    connections.close_all()
    for engine in base._engines.values():
        assert engine.pool.ledger.open == engine.pool.ledger.at_rest


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    yield
    from tenantry.django.backend import base

    for engine in base._engines.values():
        engine.close()
    base._engines.clear()


EXAMPLES = {
    Channel: lambda: Channel(name=uuid.uuid4().hex),
    Message: lambda: Message(body="hi", channel=Channel.objects.create(name=uuid.uuid4().hex)),
    PlacedChannel: lambda: PlacedChannel(name=uuid.uuid4().hex),
}


class _OnlyScoped:
    """Without the second view of one table, whose rows cannot name a tenant."""

    def __init__(self) -> None:
        self._all = django_models("shop")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._all, name)

    def models(self) -> list[type[Any]]:
        return [model for model in self._all.models() if model is not PlacedChannel]


TestScope = scope_suite(_OnlyScoped(), EXAMPLES, exempt={Country: "the same rows for everybody"})  # type: ignore[arg-type]


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_the_same_code_works_at_every_level(dev: Dev, slug: str) -> None:
    with tenantry.tenant(slug) as tenant, transaction.atomic():
        channel = Channel.objects.create(name=uuid.uuid4().hex)
        assert channel.tenant_id == tenant.uuid
        Channel.objects.bulk_create([Channel(name=uuid.uuid4().hex) for _ in range(3)])
        message = Message.objects.create(channel=channel, body="hi")
        message.refresh_from_db()
        assert message.created_at.tzinfo is not None
        assert abs((datetime.now(timezone.utc) - message.created_at).total_seconds()) < 60
        assert Message.objects.for_current_tenant().count() == Message.objects.count()
        assert [m.body for m in Message.objects.filter(body__startswith="canary-")] == [canary(slug)]
        assert Country.objects.count() == 23
        assert channel.id in [row.id for row in PlacedChannel.objects.for_current_tenant()]
        assert sum(1 for _ in Message.objects.iterator(chunk_size=1)) == Message.objects.count()
        with pytest.raises(IntegrityError), transaction.atomic():
            Channel.objects.create(name=channel.name)
        channel.topic = "changed"
        channel.save()
        transaction.set_rollback(True)


def test_queries_outside_of_a_transaction_raise(dev: Dev) -> None:
    with tenantry.tenant("acme"):
        for use in (
            lambda: list(Channel.objects.all()),
            lambda: Channel.objects.create(name="x"),
            lambda: connection.cursor().execute("SELECT 1"),
            lambda: Channel.objects.raw("SELECT * FROM channels")[0],
        ):
            with pytest.raises(TenantScopeMissing):
                use()


def test_queries_without_a_tenant_raise(dev: Dev) -> None:
    with transaction.atomic():
        for use in (
            lambda: list(Channel.objects.all()),
            lambda: Channel.objects.for_current_tenant(),
            lambda: connection.cursor(),
        ):
            with pytest.raises(TenantScopeMissing):
                use()


def test_one_thread_serves_one_tenant_after_the_other(dev: Dev) -> None:
    for slug in ("acme", "globex", "initech", "acme"):
        with tenantry.tenant(slug), transaction.atomic():
            assert list(Message.objects.filter(body__startswith="canary-").values_list("body", flat=True)) == [
                canary(slug)
            ]


def test_a_transaction_does_not_change_its_tenant(dev: Dev) -> None:
    with tenantry.tenant("acme"), transaction.atomic():
        Channel.objects.count()
        with tenantry.context.scope(found("globex")), pytest.raises(TenantMismatch):
            Channel.objects.count()


def test_transactions_commit_and_undo(dev: Dev) -> None:
    name = uuid.uuid4().hex
    done: list[str] = []
    with tenantry.tenant("acme"):
        with pytest.raises(LookupError), transaction.atomic():
            Channel.objects.create(name=name)
            raise LookupError
        with transaction.atomic():
            assert not Channel.objects.filter(name=name).exists()
            transaction.on_commit(lambda: done.append("committed"))
            with pytest.raises(LookupError), transaction.atomic():
                Channel.objects.create(name=name)
                raise LookupError
            Channel.objects.create(name=name)
        assert done == ["committed"]
        with transaction.atomic():
            assert Channel.objects.filter(name=name).delete()[0] == 1


def test_the_time_zone_of_the_settings_holds_in_sql(dev: Dev) -> None:
    with tenantry.tenant("acme"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW TimeZone")
        assert cursor.fetchone() == (connection.timezone_name,)


def test_another_tenants_id_is_refused(dev: Dev) -> None:
    other = found("globex").uuid
    with tenantry.tenant("acme"), pytest.raises(ProgrammingError), transaction.atomic():
        Channel.objects.create(name="foreign", tenant_id=other)


def found(slug: str) -> tenantry.Tenant:
    from tenantry.engine import defaults

    return defaults.sync().find(slug)


def call(url: str, host: str = f"acme.{BASE_DOMAIN}", **given: Any) -> Any:
    return Client(raise_request_exception=False).get(url, headers={"host": host, **given})


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_requests(dev: Dev, slug: str) -> None:
    by_path = call(f"/t/{slug}/messages", host=BASE_DOMAIN)
    assert by_path.json() == {"tenant": slug, "bodies": [canary(slug)], "path": "/messages"}
    assert call("/messages", host=f"{slug}.{BASE_DOMAIN}").json() == by_path.json()
    assert call("/messages", host=BASE_DOMAIN, **{"x-tenant-id": slug}).json()["tenant"] == slug


def test_refused_requests(dev: Dev) -> None:
    answer = call("/t/nobody-here/messages", host=BASE_DOMAIN)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.content)["reason"] == "TenantNotFound"
    assert call("/t/globex/messages", host=BASE_DOMAIN, **{"x-tenant-id": "acme"}).status_code == 400
    assert call("/messages", host=BASE_DOMAIN).status_code == 400


def test_health_has_no_tenant(dev: Dev) -> None:
    assert call("/livez", host="anything").json() == {"tenant": False}


@pytest.mark.parametrize("ending", ["", "&fail", "&broken"])
def test_a_request_is_one_transaction(dev: Dev, ending: str) -> None:
    name = uuid.uuid4().hex
    status = call(f"/t/acme/add?name={name}{ending}", host=BASE_DOMAIN).status_code
    assert status == {"": 200, "&fail": 500, "&broken": 502}[ending]
    with tenantry.tenant("acme"), transaction.atomic():
        assert Channel.objects.filter(name=name).exists() == (ending == "")


def test_a_streamed_answer_is_made_in_scope(dev: Dev) -> None:
    answer = call("/t/globex/stream", host=BASE_DOMAIN)
    assert b"".join(answer.streaming_content) == b"globex True\n" * 3


def test_asynchronous_requests(dev: Dev) -> None:
    async def main() -> Any:
        answer = await AsyncClient().get("/t/initech/async")
        refused = await AsyncClient().get("/t/nobody-here/async")
        await tenantry.aclose()
        return answer.json(), refused.status_code

    assert asyncio.run(main()) == ({"tenant": "initech", "some": True}, 404)


def test_the_check_passes_and_finds(dev: Dev) -> None:
    from tenantry.django.checks import models_have_the_tenant_column

    assert models_have_the_tenant_column() == []
    with override_settings(TENANTRY={"exempt_models": {"shop.Country": " ", "shop.Channel": "wrong"}}):
        found = {(message.id, getattr(message.obj, "__name__", None)) for message in models_have_the_tenant_column()}
    assert found == {
        ("tenantry.E001", "PlacedChannel"),
        ("tenantry.E002", None),
        ("tenantry.W001", None),
    }
    with override_settings(TENANTRY={"tenant_key": False}):
        assert models_have_the_tenant_column() == []


def test_the_check_runs_with_the_others(dev: Dev) -> None:
    with override_settings(TENANTRY={}), pytest.raises(Exception, match=r"tenantry\.E001"):
        call_command("check")


def test_the_command_runs_others_inside_of_tenants(dev: Dev) -> None:
    out = io.StringIO()
    call_command("tenant_command", "acme,globex", "count_channels", stdout=out)
    assert out.getvalue().splitlines() == ["acme True", "globex True"]
    errors = io.StringIO()
    with pytest.raises(CommandError, match="nobody-here"):
        call_command("tenant_command", "acme,nobody-here", "count_channels", stdout=out, stderr=errors)
    with pytest.raises(CommandError, match="acme, globex"):
        call_command("tenant_command", "acme,globex", "count_channels", "--fail", stdout=out, stderr=errors)
    with pytest.raises(CommandError):
        call_command("tenant_command", ",", "count_channels")


@pytest.mark.parametrize("wrong", [{"base_domains": "x"}, {"unknown": 1}, {"trusted_peers": ["?"]}])
def test_wrong_settings_are_told_at_start(wrong: dict[str, Any]) -> None:
    from tenantry.django.middleware import TenantMiddleware

    with override_settings(TENANTRY=wrong), pytest.raises(ImproperlyConfigured):
        TenantMiddleware(lambda request: None)


def test_addresses_in_the_settings_are_refused() -> None:
    from tenantry.django.backend.base import DatabaseWrapper

    wrapper = DatabaseWrapper({**connections["default"].settings_dict, "HOST": "db.example"}, "other")
    with pytest.raises(ImproperlyConfigured):
        wrapper.get_connection_params()
