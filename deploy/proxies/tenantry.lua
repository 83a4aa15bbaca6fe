-- Asks Tenantry whose request this is. A refusal is answered with Tenantry's own status and body; what cannot be asked
-- is refused with 503: a request without a tenant must never reach the application.
local url = os.getenv("TENANTRY_FORWARD_AUTH")
local token = os.getenv("TENANTRY_TOKEN")
local handed = { "x-tenant-id", "x-tenant-slug", "x-tenant-generation", "x-tenant-isolation", "x-tenant-cell", "tenantry-context" }

local function answer(txn, status, headers, body)
    local reply = txn:reply()
    reply:set_status(status)
    for name, value in pairs(headers) do
        reply:add_header(name, value)
    end
    reply:set_body(body or "")
    txn:done(reply)
end

core.register_action("tenantry", { "http-req" }, function(txn)
    local host = txn.sf:req_hdr("host")
    local asked = {
        ["authorization"] = { "Bearer " .. token },
        ["x-original-host"] = { host },
        ["x-original-uri"] = { txn.sf:url() },
    }
    local said = txn.sf:req_fhdr("x-tenant-id")
    if said ~= nil and said ~= "" then
        asked["x-tenant-id"] = { said }
    end
    local client = core.httpclient()
    local found = client:get({ url = url, headers = asked, timeout = 2000 })
    if found == nil or found.status == nil or found.status == 0 then
        return answer(txn, 503, { ["retry-after"] = "1" }, "")
    end
    local function header(name)
        local values = found.headers and found.headers[name]
        return values and values[0] or nil
    end
    if found.status ~= 200 then
        local headers = { ["content-type"] = header("content-type") or "application/problem+json" }
        headers["x-tenant-error"] = header("x-tenant-error")
        return answer(txn, found.status, headers, found.body)
    end
    for _, name in ipairs(handed) do
        -- What the client sent under this name goes, whether there is a value or not.
        txn.http:req_del_header(name)
        local value = header(name)
        if value then
            txn.http:req_set_header(name, value)
        end
    end
    txn:set_var("txn.tenantry_ok", true)
end)
