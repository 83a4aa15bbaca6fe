"""A browser without a screen: follows redirects, keeps cookies, fills in forms."""

from __future__ import annotations

import html.parser
import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request


class Forms(html.parser.HTMLParser):
    """The forms of a page with the fields that they send by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.forms.append({"action": values.get("action") or "", "fields": {}})
        elif tag == "input" and self.forms and values.get("name"):
            self.forms[-1]["fields"][values["name"]] = values.get("value") or ""


class Still(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at one by one."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        return None


class Browser:
    """One person at one browser."""

    def __init__(self, authority: str, login: str) -> None:
        context = ssl.create_default_context(cafile=authority)
        self.login = login
        self.opener = urllib.request.build_opener(
            Still(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            urllib.request.ProxyHandler({}),
        )

    def ask(self, url: str, fields: dict | None = None) -> tuple[int, str, str]:
        """Status, place to go on at, and body."""
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            answer = self.opener.open(urllib.request.Request(url, data=body), timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        text = answer.read().decode()
        place = answer.headers.get("location")
        return answer.status, urllib.parse.urljoin(url, place) if place else "", text

    def visit(self, url: str, stop: str | None = None) -> str:
        """Signs in and agrees to everything. Gives the last page, or the address that begins with `stop`."""
        fields: dict | None = None
        for _ in range(40):
            if stop and url.startswith(stop):
                return url
            status, place, text = self.ask(url, fields)
            if place:
                url, fields = place, None
                continue
            page = Forms()
            page.feed(text)
            if status >= 400 or not page.forms:
                return text
            form = page.forms[0]
            fields = dict(form["fields"])
            if "login" in fields:
                fields.update(login=self.login, password="any")
            url = urllib.parse.urljoin(url, form["action"] or url)
        raise AssertionError("the sign-in does not come to an end")
