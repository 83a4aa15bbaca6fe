"""The tenant by dependency injection, with FastAPI: handlers take it, and an open transaction, as typed parameters.

    pip install tenantry fastapi uvicorn
    export TENANTRY_URL=http://127.0.0.1:7070 TENANTRY_TOKEN_FILE=.tenantry/admin.token
    uvicorn injection:app
    curl http://127.0.0.1:8000/t/acme/messages

With `tenantry dev` these are the address and the token that it prints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI

import tenantry
from tenantry import Tenant
from tenantry.asgi import TenantMiddleware, current_tenant
from tenantry.connection import TenantAsyncConnection


async def transaction() -> AsyncIterator[TenantAsyncConnection]:
    """One transaction per request: committed when the handler returns, undone when it raises."""
    async with tenantry.transaction() as tx:
        yield tx


CurrentTenant = Annotated[Tenant, Depends(current_tenant)]
Transaction = Annotated[TenantAsyncConnection, Depends(transaction)]

app = FastAPI()
app.add_middleware(TenantMiddleware, path_prefix="/t/", plain_hosts=["127.0.0.1", "localhost"])


@app.get("/messages")
async def messages(tenant: CurrentTenant, tx: Transaction) -> dict[str, Any]:
    """The newest messages. No condition names a tenant; the database knows whose transaction it is."""
    rows = await (await tx.execute("SELECT body FROM messages ORDER BY created_at DESC, id DESC LIMIT 10")).fetchall()
    return {"tenant": tenant.slug, "isolation": tenant.isolation, "messages": [row[0] for row in rows]}


@app.post("/channels/{name}")
async def open_channel(name: str, tx: Transaction) -> dict[str, Any]:
    """Makes a channel; `tenant_id` is the database's business."""
    row = await (await tx.execute("INSERT INTO channels (name) VALUES (%s) RETURNING id", (name,))).fetchone()
    return {"id": row[0] if row else None}
