"""How one of a customer's people signs in at a provider of identities: OpenID Connect, by a code, with PKCE.

The operator names the provider and believes what it says of verified addresses. Here it ends with such an address;
whose it is, and the session, are found and begun as for a mailed link.
"""

import base64
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPException
from threading import BoundedSemaphore
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode

import jwt
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from irportal.outbox.channels import guard

log = logging.getLogger(__name__)

SALT = "statuspage.openid"
LIFE = timedelta(minutes=10)  # from leaving for the provider to coming back
SECONDS, BYTES = 5, 256 * 1024  # for one answer of the provider
FRESH, AGAIN = timedelta(hours=1), timedelta(minutes=1)  # for how long what it publishes holds; for an unknown key
LEEWAY = timedelta(minutes=1)  # its clock and ours
# Signed with a key that is published only in half: never "none", never a secret both sides know.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
CLAIMS = ["iss", "sub", "aud", "exp", "iat", "nonce"]

OVER = _("This sign-in was used before, took longer than 10 minutes or began in another browser.")
DENIED = _("The sign-in service did not sign you in.")
DOWN = _("The sign-in service does not answer as it should.")
BUSY = _("Too many people are signing in at this moment. Try again in a few seconds.")
UNTRUE = _("What the sign-in service said of you could not be verified.")
UNVERIFIED = _("The sign-in service has not verified your e-mail address.")
NOBODY = _("No private page belongs to your e-mail address.")


class Declined(Exception):
    """Nobody is signed in. The message is a sentence for the person; what the operator must know is in the log."""


class Unusable(Exception):
    """What the provider answered is nothing to go on with. The message names neither persons nor secrets."""


class Departure(NamedTuple):
    """Where the browser goes, and what it keeps until it is back."""

    url: str
    cookie: str


_turns = BoundedSemaphore(2)  # of the threads of a process: a provider that hangs must not keep staff waiting
_published: dict[str, tuple[datetime, dict[str, Any]]] = {}  # by address: when it was read, and what it said


def depart() -> Departure:
    """Begin a sign-in. Raises Declined."""
    with _asking():
        provider = _provider()
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    asked = {
        "response_type": "code",
        "scope": "openid email",
        "client_id": settings.CUSTOMER_OIDC_CLIENT_ID,
        "redirect_uri": _redirect_uri(),
        "state": state,
        "nonce": nonce,
        "code_challenge": _unpadded(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    there = provider["authorization_endpoint"]
    url = f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"
    return Departure(url, signing.dumps([state, nonce, verifier], salt=SALT))


def returned(said: Mapping[str, str], cookie: str) -> str:
    """The verified address of whoever comes back with `said` in the query and this cookie, once. Raises Declined."""
    nonce, verifier = _used_once(said.get("state", ""), cookie)
    if "code" not in said:
        code = said.get("error", "")
        log.warning("The provider signed nobody in: %s", code if re.fullmatch("[a-z_]{1,40}", code) else "no reason")
        raise Declined(DENIED)
    with _asking():
        provider = _provider()
        claims = _claims(provider, _token(provider, said["code"], verifier), nonce)
    return _address(claims)


def _used_once(state: str, cookie: str) -> tuple[str, str]:
    """Nonce and verifier of the sign-in that this browser began. The cache forgets; then the code is still used up."""
    try:
        expected, nonce, verifier = signing.loads(cookie, salt=SALT, max_age=LIFE)
    except signing.BadSignature:
        raise Declined(OVER) from None
    used = f"openid:{hashlib.sha256(expected.encode()).hexdigest()}"
    if not constant_time_compare(state, expected) or not cache.add(used, True, LIFE.total_seconds()):
        raise Declined(OVER)
    return nonce, verifier


@contextmanager
def _asking() -> Iterator[None]:
    """A turn to ask the provider; what goes wrong is logged, and told to the person in a sentence."""
    if not _turns.acquire(blocking=False):
        raise Declined(BUSY)
    try:
        yield
    except (Unusable, guard.Blocked) as problem:
        log.warning("Customers cannot sign in at their provider: %s", problem)
        raise Declined(DOWN) from problem
    except (OSError, HTTPException) as problem:
        log.warning("Customers cannot sign in at their provider: no answer (%s)", type(problem).__name__)
        raise Declined(DOWN) from problem
    except jwt.PyJWTError as problem:
        log.warning("The provider's ID token was not believed: %s", type(problem).__name__)
        raise Declined(UNTRUE) from problem
    finally:
        _turns.release()


def _provider() -> dict[str, Any]:
    """The provider's discovery document, if it is this issuer's and names everything needed."""
    issuer = settings.CUSTOMER_OIDC_ISSUER
    found = _read(f"{issuer.rstrip('/')}/.well-known/openid-configuration", FRESH)
    if found.get("issuer") != issuer:
        raise Unusable("its discovery document is another issuer's")
    schemes = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
    for name in ENDPOINTS:
        url = str(found.get(name))
        if not url.startswith(schemes) or not url.isprintable():
            raise Unusable(f"its discovery document has no usable {name}")
    return found


def _read(url: str, lasting: timedelta) -> dict[str, Any]:
    """What the provider publishes there, asked for again only when the last answer is older than `lasting`."""
    now = timezone.now()
    if url not in _published or now - _published[url][0] >= lasting:
        reply = guard.get(url, {"Accept": "application/json"}, seconds=SECONDS, most=BYTES)
        _published[url] = now, _object(reply, "what it publishes")
    return _published[url][1]


def _token(provider: dict[str, Any], code: str, verifier: str) -> str:
    """The ID token for this code."""
    ours = settings.CUSTOMER_OIDC_CLIENT_ID, settings.CUSTOMER_OIDC_CLIENT_SECRET
    fields = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    fields["redirect_uri"] = _redirect_uri()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if "client_secret_basic" in (provider.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]):
        pair = ":".join(quote_plus(one) for one in ours)
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        fields["client_id"], fields["client_secret"] = ours
    reply = guard.post(provider["token_endpoint"], urlencode(fields).encode(), headers, seconds=SECONDS)
    return str(_object(reply, "its token endpoint").get("id_token", ""))


def _object(reply: guard.Reply, what: str) -> dict[str, Any]:
    """The JSON object of an answer. One that was too long or too slow was cut, and is none."""
    if reply.status != 200:
        raise Unusable(f"{what} answered {reply.status}")
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise Unusable(f"{what} is no JSON, too long or too slow") from None
    if not isinstance(found, dict):
        raise Unusable(f"{what} is no JSON object")
    return found


def _claims(provider: dict[str, Any], token: str, nonce: str) -> dict[str, Any]:
    """What the token says, signed by the provider, for us alone and for this very sign-in. Raises PyJWTError."""
    client = settings.CUSTOMER_OIDC_CLIENT_ID
    claims = jwt.decode(
        token,
        _key(provider["jwks_uri"], jwt.get_unverified_header(token).get("kid")),
        algorithms=ALGORITHMS,
        audience=client,
        issuer=settings.CUSTOMER_OIDC_ISSUER,
        leeway=LEEWAY,
        options={"require": CLAIMS, "enforce_minimum_key_length": True},
    )
    if claims["aud"] not in (client, [client]) or claims.get("azp", client) != client:
        raise jwt.InvalidAudienceError("for others, too")
    if claims["nonce"] != nonce:
        raise jwt.InvalidTokenError("of another sign-in")
    return claims


def _key(url: str, kid: str | None) -> jwt.PyJWK:
    """The provider's key of this name, looked for anew when it is unknown, since keys are changed."""
    for lasting in (FRESH, AGAIN):
        for key in jwt.PyJWKSet.from_dict(_read(url, lasting)):
            if kid in (None, key.key_id) and key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
                return key
    raise jwt.InvalidKeyError("unknown key")


def _address(claims: dict[str, Any]) -> str:
    """The address the provider has verified; a domain alone would be taken for everybody's there."""
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        raise Declined(UNVERIFIED)
    try:
        validate_email(email)
    except ValidationError:
        raise Declined(NOBODY) from None
    return email


def _redirect_uri() -> str:
    return settings.PUBLIC_BASE_URL + reverse("customers:openid-back")


def _unpadded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
