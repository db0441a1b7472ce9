"""A provider of identities of our own: a real server that signs with a key of its own and checks what it is asked."""

import base64
import hashlib
import json
from functools import cache
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.utils import timezone
from jwt.algorithms import RSAAlgorithm

from statuspage.customers import openid
from tests.receiver import Answer, Receiver

CLIENT, SECRET, LABEL = "portal", "hunter2:+&", "Sign in with Globex"
DISCOVERY = "/.well-known/openid-configuration"
START = "/private/sign-in/openid"


@cache
def key(kid: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(kid: str) -> dict:
    return RSAAlgorithm.to_jwk(key(kid).public_key(), as_dict=True) | {"kid": kid, "use": "sig", "alg": "RS256"}


class Provider:
    """`claims` change what its next tokens say; None leaves one out. `token` says what stands in place of one."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver, self.issuer = receiver, receiver.url("")
        self.kid, self.claims, self.token, self.query = "one", {}, None, {}
        ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        self.discovery = {"issuer": self.issuer} | {name: receiver.url(path) for name, path in ends.items()}
        receiver.found = {}
        self.publish()

    def publish(self) -> None:
        documents = {DISCOVERY: self.discovery, "/keys": {"keys": [public(self.kid)]}}
        self.receiver.found |= {path: Answer(body=json.dumps(found).encode()) for path, found in documents.items()}

    def asked(self, path: str) -> int:
        return self.receiver.paths().count(path)

    def signed(self, claims: dict) -> str:
        return jwt.encode(claims, key(self.kid), "RS256", headers={"kid": self.kid})

    def allow(self, there: str) -> str:
        """What the browser asks of us once the person has signed in at the address it was sent to."""
        parts = urlsplit(there)
        assert parts._replace(query="").geturl() == self.discovery["authorization_endpoint"]
        self.query = dict(parse_qsl(parts.query))
        now = int(timezone.now().timestamp())
        says = {"iss": self.issuer, "sub": "7", "aud": CLIENT, "iat": now, "exp": now + 300}
        says |= {"nonce": self.query["nonce"], "email": "Ann@globex.example", "email_verified": True} | self.claims
        token = (self.token or self.signed)({name: said for name, said in says.items() if said is not None})
        self.receiver.answers.setdefault("/token", [lambda handler: self._redeem(handler, token)])
        return (
            f"{urlsplit(self.query['redirect_uri']).path}?{urlencode({'code': 'c0de', 'state': self.query['state']})}"
        )

    def _redeem(self, handler: BaseHTTPRequestHandler, token: str) -> None:
        """Answer with the token whoever holds the secret and the verifier."""
        posted = self.receiver.posted[-1]
        asked = {name: value for name, (value,) in parse_qs(posted.body.decode()).items()}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asked["code_verifier"].encode()).digest()).rstrip(b"=")
        pair = base64.b64encode(b"portal:hunter2%3A%2B%26").decode()
        known = posted.headers.get("Authorization") == f"Basic {pair}"
        if "token_endpoint_auth_methods_supported" in self.discovery:
            known = (asked["client_id"], asked["client_secret"]) == (CLIENT, SECRET)
        right = known and self.query["code_challenge_method"] == "S256"
        right &= challenge.decode() == self.query["code_challenge"] and asked["code"] == "c0de"
        right &= asked["redirect_uri"] == self.query["redirect_uri"]
        body = json.dumps({"id_token": token, "access_token": "s3cret"} if right else {"error": "invalid_grant"})
        handler.send_response(200 if right else 400)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    def sign_in(self, client: Client):
        """Our last answer to somebody who signs in there."""
        left = client.get(START)
        return client.get(self.allow(left["Location"])) if left.status_code == 302 else left


@pytest.fixture
def provider(receiver, settings, monkeypatch) -> Provider:
    """The one the operator has named."""
    found = Provider(receiver)
    settings.CUSTOMER_OIDC_ISSUER = found.issuer
    settings.CUSTOMER_OIDC_CLIENT_ID, settings.CUSTOMER_OIDC_CLIENT_SECRET = CLIENT, SECRET
    settings.CUSTOMER_OIDC_LABEL = LABEL
    monkeypatch.setattr(openid, "_published", {})
    return found
