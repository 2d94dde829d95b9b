"""The few routes that are no RPC: health, the API's description and its page."""

import json
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from gateway.replies import Headers

# A package that carries Swagger UI's files; nothing of it is imported.
SWAGGER_UI = "fastapi_swagger"
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Swagger UI sets styles on its elements; everything else comes from here.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitalis API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
DOCS_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
"""

Health = Callable[[], Awaitable[dict[str, bool]]]


class Pages:
    """The hand-written routes; `paths` are all of them."""

    def __init__(self, openapi: bytes, health: Health, headers: Headers, *, docs: bool) -> None:
        self._openapi = openapi
        self._health = health
        self._headers = {name.decode(): value.decode() for name, value in headers}
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/openapi.json", self._describe),
        ]
        if docs:
            self._assets = _assets()
            routes += [
                Route("/docs", self._docs),
                Route("/docs/start.js", self._docs_script),
                *(Route(f"/docs/{name}", self._asset) for name in ASSETS),
            ]
        self.paths = frozenset(route.path for route in routes)
        self.app = Starlette(routes=routes)

    async def _healthz(self, request: Request) -> Response:
        return self._json({"status": "ok"}, 200)

    async def _readyz(self, request: Request) -> Response:
        services = await self._health()
        ready = all(services.values())
        return self._json({"status": "ready" if ready else "not ready", "services": services}, 200 if ready else 503)

    async def _describe(self, request: Request) -> Response:
        return Response(
            self._openapi, media_type="application/json", headers={**self._headers, "cache-control": "no-cache"}
        )

    async def _docs(self, request: Request) -> Response:
        return Response(DOCS_PAGE, media_type="text/html", headers=self._docs_headers())

    async def _docs_script(self, request: Request) -> Response:
        return Response(DOCS_SCRIPT, media_type="text/javascript", headers=self._docs_headers())

    async def _asset(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return FileResponse(self._assets / name, media_type=ASSETS[name], headers=self._docs_headers())

    def _docs_headers(self) -> dict[str, str]:
        return {**self._headers, "cache-control": "no-cache", "content-security-policy": DOCS_POLICY}

    def _json(self, content: object, status: int) -> Response:
        return Response(json.dumps(content), status, media_type="application/json", headers=self._headers)


def _assets() -> Path:
    spec = find_spec(SWAGGER_UI)
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "the API page's files are not installed; set GATEWAY_DOCS=false or install the extra gateway"
        )
    return Path(spec.origin).parent / "resources"
