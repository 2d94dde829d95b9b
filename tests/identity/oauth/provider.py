"""An OpenID provider that keeps strictly to the rules, and breaks those that a test tells it to.

Run as a process of its own: `python -m tests.identity.oauth.provider` prints its
port. `PUT /rules` says what to break, and `GET /seen` what it was asked.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT_ID = "vitalis"
CLIENT_SECRET = "a secret with a space & more"
ALGORITHM = "RS256"
DISCOVERY = "/.well-known/openid-configuration"
Answer = tuple[int, Any]


class Provider:
    """The provider's state; `rules` are what a test has set."""

    def __init__(self) -> None:
        self.rules: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.access_tokens: dict[str, dict[str, Any]] = {}
        self.url = ""
        self.keys = [rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)]
        self.weak = rsa.generate_private_key(65537, 1024)
        self.curve = ec.generate_private_key(ec.SECP256R1())
        self.released = threading.Event()

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "authorization_response_iss_parameter_supported": True,
            **self.rules.get("metadata", {}),
        }

    def jwks(self) -> dict[str, Any]:
        published = [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": self.kid, "use": "sig"},
            {**jwt.algorithms.ECAlgorithm.to_jwk(self.curve.public_key(), as_dict=True), "kid": "curve"},
            {**jwt.algorithms.RSAAlgorithm.to_jwk(self.weak.public_key(), as_dict=True), "kid": "weak"},
            {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "symmetric"},
            {"kty": "AKP", "kid": "of tomorrow"},
            {"kty": "EC", "crv": "P-256", "x": "broken", "y": "broken", "kid": "broken"},
        ]
        return {"keys": self.rules.get("keys", published)}

    @property
    def key(self) -> rsa.RSAPrivateKey:
        return self.keys[self.rules.get("generation", 0)]

    @property
    def kid(self) -> str:
        return f"key-{self.rules.get('generation', 0)}"

    @property
    def person(self) -> dict[str, Any]:
        ada = {"sub": "ada", "email": "Ada@Example.com", "email_verified": True, "name": "Ada Lovelace"}
        return {name: value for name, value in {**ada, **self.rules.get("person", {})}.items() if value is not None}

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent: the person has agreed."""
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.url}
        return query["redirect_uri"] + "?" + urlencode(answer)

    def token(self, form: dict[str, str], authorization: str) -> Answer:
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        request = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            request is None
            or form["redirect_uri"] != request["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != request["code_challenge"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "<script>code</script>"}
        access_token = secrets.token_urlsafe()
        self.access_tokens[access_token] = self.person
        answer = {
            "access_token": access_token,
            "refresh_token": secrets.token_urlsafe(),
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": self.id_token(request.get("nonce", ""), access_token),
        }
        answer |= self.rules.get("token", {})
        return 200, {name: value for name, value in answer.items() if value is not None}

    def id_token(self, nonce: str, access_token: str) -> str:
        now = int(time.time())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            **(self.person if self.rules.get("claims_in_token", True) else {"sub": self.person["sub"]}),
            **self.rules.get("claims", {}),
        }
        if "seconds_ago" in self.rules:
            claims |= {"iat": now - self.rules["seconds_ago"], "exp": now - self.rules["seconds_ago"] + 300}
            claims["exp"] = self.rules.get("exp", claims["exp"])
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm, kid = self.rules.get("algorithm", ALGORITHM), self.rules.get("kid", self.kid)
        headers = {"kid": kid, **self.rules.get("header", {})}
        if algorithm == "none":
            return jwt.encode(claims, "", algorithm="none", headers=headers)
        if algorithm == "HS256":
            # The public key, as everybody knows it, taken for an HMAC's: what a careless verifier accepts.
            return sign_with_public_key(headers, claims, self.jwks()["keys"][0])
        keys: dict[str, Any] = {"ES256": self.curve, "RS256": self.weak if kid == "weak" else self.key}
        signing = self.keys[1] if self.rules.get("another_key") else keys.get(algorithm, self.key)
        return jwt.encode(claims, signing, algorithm=algorithm, headers=headers)

    def userinfo(self, authorization: str) -> Answer:
        person = self.access_tokens.get(authorization.removeprefix("Bearer "))
        return (200, {**person, **self.rules.get("userinfo", {})}) if person else (401, {"error": "invalid_token"})

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if authorization:
            user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            return (unquote_plus(user), unquote_plus(password)) == (CLIENT_ID, CLIENT_SECRET)
        if "apple" in self.rules:
            claims = jwt.decode(
                form["client_secret"],
                self.rules["apple"].encode(),
                algorithms=["ES256"],
                audience=self.url,
                issuer="TEAM",
                subject=form["client_id"],
            )
            return form["client_id"] == CLIENT_ID and claims["exp"] - claims["iat"] <= 15_777_000
        return (form.get("client_id"), form.get("client_secret", "")) == (
            CLIENT_ID,
            "" if self.rules.get("public") else CLIENT_SECRET,
        )


def sign_with_public_key(headers: dict[str, Any], claims: dict[str, Any], jwk: dict[str, Any]) -> str:
    import hmac

    header = {**headers, "alg": "HS256", "typ": "JWT"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(json.dumps(jwk).encode(), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


class Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["content-length"])))

    do_PUT = do_POST  # noqa: N815

    def _serve(self, body: bytes) -> None:
        provider, parts = self.provider, urlsplit(self.path)
        if parts.path == "/rules":
            provider.rules, provider.seen = json.loads(body), []
            provider.released.set()
            provider.released = threading.Event()
            self._answer(200, {})
            return
        if parts.path == "/seen":
            self._answer(200, provider.seen)
            return
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        provider.seen.append({"path": parts.path, "form": form, "headers": headers})
        if self._misbehaves(parts.path):
            return
        authorization = self.headers.get("authorization", "")
        match parts.path:
            case "/.well-known/openid-configuration":
                self._answer(200, provider.metadata())
            case "/jwks":
                self._answer(200, provider.jwks())
            case "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._answer(302, {}, location=provider.authorize(query))
            case "/token":
                self._answer(*provider.token(form, authorization))
            case "/userinfo":
                self._answer(*provider.userinfo(authorization))
            case _:
                self._answer(404, {})

    def _misbehaves(self, path: str) -> bool:
        broken = self.provider.rules.get("broken", {}).get(path)
        if broken == "hangs":
            self.provider.released.wait(60)
        elif broken == "drips":
            self.send_response(200)
            self.end_headers()
            while not self.provider.released.wait(0.05):
                try:
                    self.wfile.write(b" ")
                except OSError:
                    break
        elif broken == "huge":
            self._answer(200, {**self.provider.metadata(), "padding": "x" * 2**20})
        elif broken == "bomb":
            self._answer(200, self.provider.metadata(), content_encoding="gzip")
        elif broken == "moved":
            self._answer(302, {}, location=f"{self.provider.url}/elsewhere")
        elif isinstance(broken, dict):
            self._answer(broken["status"], broken["content"])
        return broken is not None

    def _answer(self, status: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("set-cookie", "session=of-somebody; Path=/")
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            # The one who asked has had enough.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing: the test asks what was seen."""


def main() -> None:
    provider = Provider()
    Handler.provider = provider
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.url = f"http://127.0.0.1:{server.server_port}"
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
