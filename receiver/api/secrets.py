"""Calls about signing secrets. They go in and are sealed; no call tells one."""

import time
from collections.abc import Mapping
from typing import Any

from ..errors import BadParameters, ConfigError
from ..settings import Settings
from ..sources import Source, WebhookSource
from ..sources.profile import Profile
from ..sources.profiles import PROFILES, why_not
from ..store import Secret, Store
from ..vault import Vault
from .call import Call, Said
from .models.secrets import RetireBody, SecretAnswer, SecretBody, SecretsAnswer, SecretsQuery
from .problem import Problem


class SecretCalls:
    """Secrets: list, store, retire."""

    def __init__(self, store: Store, sources: Mapping[str, Source], settings: Settings) -> None:
        self._store = store.endpoints
        self._sources = sources
        self._settings = settings

    def calls(self) -> list[Call]:
        """Return what is answered."""
        return [
            Call(
                method="GET",
                path="/secrets",
                does=self._list,
                summary="List signing secrets by their last four characters, and when each counts",
                query=SecretsQuery,
                answer=SecretsAnswer,
            ),
            Call(
                method="POST",
                path="/secrets",
                does=self._add,
                summary="Store a signing secret, sealed, beside those that there are",
                body=SecretBody,
                answer=SecretAnswer,
                refuses=(409, 413),
            ),
            Call(
                method="POST",
                path="/secrets/{id}/retire",
                does=self._retire,
                summary="Let a stored secret count no longer, at once or from a time on",
                body=RetireBody,
                answer=SecretAnswer,
                refuses=(404, 413),
            ),
        ]

    async def _list(self, said: Said) -> Any:
        now = time.time()
        stored = [_row(secret, now) for secret in await self._store.secrets(said.query.source)]
        return {"secrets": [*self._configured(said.query.source), *stored], "next": None}

    async def _add(self, said: Said) -> Any:
        body, now = said.body, time.time()
        source, text = self._source(body.source), body.secret.get_secret_value().strip()
        begins = now if body.valid_from is None else body.valid_from
        if body.valid_until is not None and body.valid_until <= max(begins, now):
            raise BadParameters("it would end before it would count")
        try:
            source.decode_secret(text)
        except ConfigError as error:
            raise BadParameters(str(error)) from None
        try:
            vault = Vault(self._settings.secret_keys)
            there = await self._store.secrets(source.name)
            same = [
                one for one in there if _lasts(one, now) and vault.fits(one.sealed) and vault.open(one.sealed) == text
            ]
            sealed = vault.seal(text)
        except ConfigError as error:
            raise Problem(409, str(error)) from None
        if same:
            return await self._told(same[0].id, "nothing")
        made = await self._store.add_secret(
            source.name, sealed=sealed, last4=text[-4:], valid_from=begins, valid_until=body.valid_until
        )
        return await self._told(made, "stored")

    async def _retire(self, said: Said) -> Any:
        at = time.time() if said.body.at is None else said.body.at
        if not await self._store.end_secret(said.id, at=at):
            raise Problem(404, "no stored secret has this id")
        return await self._told(said.id, "retired")

    async def _told(self, id: str, did: str) -> dict[str, Any]:
        secret = next(one for one in await self._store.secrets() if one.id == id)
        others = 0
        if secret.valid_until is not None:
            counting = await self._store.secrets(secret.source, now=secret.valid_until)
            others = sum(one.id != id for one in counting) + len(self._configured(secret.source))
        return {**_row(secret, time.time()), "did": did, "others": others}

    def _source(self, name: str) -> WebhookSource:
        """Return a source that may have a secret. Raises BadParameters that says why one may not."""
        source = self._sources.get(name)
        if isinstance(source, Profile) and source.scheme.kind == "none":
            raise BadParameters(f"{name} signs nothing, so no secret is needed: see docs/sources.md")
        if isinstance(source, WebhookSource):
            return source
        if source is not None:
            raise BadParameters(
                f"{name} sends no webhooks: the receiver asks it for its jobs, and needs no secret for that"
            )
        for profile in PROFILES:
            if profile.name == name:
                raise BadParameters(why_not(profile, self._settings.provider(name)) or name)
        raise BadParameters(f"no source is called {name}: see `receiver sources`, or set {name.upper()}_WEBHOOK_SCHEME")

    def _configured(self, source: str | None) -> list[dict[str, Any]]:
        """Return the secrets that stand in variables: they count for as long as they stand there."""
        return [
            {
                "id": None,
                "source": name,
                "last4": secret.strip()[-4:],
                "state": "counts",
                "valid_from": None,
                "valid_until": None,
                "place": f"{name.upper()}_WEBHOOK_SECRET",
            }
            for name, provider in self._settings.providers.items()
            for secret in provider.webhook_secrets
            if source in (None, name) and secret.strip()
        ]


def _lasts(secret: Secret, now: float) -> bool:
    return secret.valid_until is None or secret.valid_until > now


def _row(secret: Secret, now: float) -> dict[str, Any]:
    return {
        "id": secret.id,
        "source": secret.source,
        "last4": secret.last4,
        "state": "over" if not _lasts(secret, now) else "later" if secret.valid_from > now else "counts",
        "valid_from": secret.valid_from,
        "valid_until": secret.valid_until,
        "place": f"endpoint {secret.endpoint_id}" if secret.endpoint_id else "stored",
    }
