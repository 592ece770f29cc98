"""The registrar: has the right endpoints at a provider, and their secrets in the store.

A provider tells a signing secret once, so it is sealed and stored before anything else happens.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cached_property

import httpx

from ..errors import ConfigError, ProviderError, ReceiverError, Unavailable, UnknownEndpoint
from ..settings import Settings
from ..sources import Registered, WebhookClient, WebhookSource
from ..store import Endpoint, Secret, Store
from ..vault import Vault
from . import report
from .ownership import Ours, check_url, same_url, tag, tagged
from .report import Change, Finding

#: Seconds for which the secret of a replaced endpoint stays valid.
OVERLAP = 86_400.0

#: The same for a deleted one: only what is on its way may still come.
LAST_DELIVERIES = 300.0


class Registrar:
    """Looks after the endpoints of one source.

    It changes those that are in the store and those that carry its tag at a URL of its own; any other
    only with `force`. Every method raises ProviderError if the provider refuses or fails, ConfigError if
    its API key is not set, Unavailable if the store is.
    """

    def __init__(
        self,
        *,
        source: WebhookSource,
        settings: Settings,
        store: Store,
        http: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._settings = settings
        self._store = store.endpoints
        self._http = http
        self._clock = clock

    async def register(self, url: str, events: Sequence[str], *, force: bool = False) -> Change:
        """Have exactly one endpoint for `url` with these events, whose secret is known here.

        Nothing changes if that is so. Otherwise a new one is created and stored before older ones of
        ours are deleted; with `force` also those at this URL that are not ours.
        """
        wanted = tuple(dict.fromkeys(events))
        if not wanted:
            raise ConfigError("name at least one event to register for")
        check_url(url)
        self._need_vault()
        there = [found for found in await self._client.endpoints() if same_url(found.url, url)]
        ours = await self._ours()
        mine = [found for found in there if force or found.id in ours.endpoints or tagged(found)]
        good = [found for found in mine if set(found.events) == set(wanted) and ours.knows(found)]
        keep = max(good, key=lambda found: ours.endpoints[found.id].created_at, default=None)
        new = keep or await self._create(url, wanted)
        old = [found.id for found in mine if found is not keep]
        remarks = [
            *await self._remove(old),
            *(str(report.foreign(found)) for found in there if found not in mine),
        ]
        present = {found.id for found in there}
        lost = [row.id for row in ours.endpoints.values() if same_url(row.url, url) and row.id not in present]
        for gone in lost:
            await self._retire(gone, OVERLAP)
        return report.registered(new, created=keep is None, old=[*old, *lost], remarks=remarks)

    async def check(self) -> list[Finding]:
        """Return what is registered, one finding each, with its drift; it is kept. Changes nothing at the provider."""
        there = await self._client.endpoints()
        ours = await self._ours()
        findings = [_compare(row, there, ours) for row in ours.endpoints.values()]
        told = [(one.drift, one.text) for one in findings]
        await self._store.compared(self._source.name, dict(zip(ours.endpoints, told, strict=True)))
        others = [found for found in there if found.id not in ours.endpoints and ours.at_our_url(found)]
        findings += [
            report.unknown_secret(found) if tagged(found) else report.foreign(found, configured=self._configured(found))
            for found in others
        ]
        own = self._own_url()
        if own and not any(same_url(finding.url, own) for finding in findings):
            findings.append(report.nothing_for(own))
        return findings

    async def rotate(self, id: str, *, overlap: float = OVERLAP) -> Change:
        """Replace an endpoint by one with a new secret; the old secret counts for `overlap` more seconds."""
        self._need_vault()
        found = await self._find(id)
        new = await self._create(found.url, found.events)
        remarks = await self._remove([id], overlap)
        text = f"{new.id} takes the place of {id}, whose secret counts for {overlap / 3600:g} more hours"
        return Change(did="rotated", id=new.id, text=text, remarks=tuple(remarks))

    async def delete(self, id: str, *, force: bool = False) -> Change:
        """Remove an endpoint at the provider and, after the last deliveries, its secret here."""
        await self._find(id, force=force)
        await self._client.delete_endpoint(id)
        await self._retire(id, LAST_DELIVERIES)
        return Change(did="deleted", id=id, text=f"{id} is deleted; its secret only counts for the last deliveries")

    # Both are made when needed, so that whoever builds a registrar need not expect a ConfigError.
    @cached_property
    def _client(self) -> WebhookClient:
        return self._source.client(self._http, self._settings.provider(self._source.name))

    @cached_property
    def _vault(self) -> Vault:
        return Vault(self._settings.secret_keys)

    def _need_vault(self) -> None:
        self._vault.seal("")  # raises without a key, before a secret is made that could not be kept

    def _opens(self, secret: Secret) -> bool:
        """Whether a stored secret is of use. Without a key that is as good as it can be told."""
        try:
            return not self._vault or self._vault.fits(secret.sealed)
        except ConfigError:  # it is no key at all
            return True

    async def _ours(self) -> Ours:
        rows = await self._store.live(self._source.name)
        secrets = await self._store.secrets(self._source.name, now=self._clock())
        own = self._own_url()
        return Ours(
            endpoints={row.id: row for row in rows},
            secrets=frozenset((secret.endpoint_id, secret.last4) for secret in secrets if self._opens(secret)),
            urls=(*(row.url for row in rows), *([own] if own else [])),
        )

    def _own_url(self) -> str | None:
        public = self._settings.public_url
        return f"{public}/webhooks/{self._source.name}" if public else None

    def _configured(self, found: Registered) -> bool:
        secrets = self._settings.provider(self._source.name).webhook_secrets
        return found.last4 is not None and any(secret.strip().endswith(found.last4) for secret in secrets)

    async def _find(self, id: str, *, force: bool = False) -> Registered | Endpoint:
        ours = await self._ours()
        found = next((found for found in await self._client.endpoints() if found.id == id), None)
        if found is None and id not in ours.endpoints:
            raise UnknownEndpoint(f"there is no endpoint {id}, neither here nor at the provider")
        if found and not (force or ours.has(found)):
            raise ConfigError(f"{id} was not registered by this receiver, so it is left alone")
        return found or ours.endpoints[id]

    async def _create(self, url: str, events: Sequence[str]) -> Registered:
        new = await self._client.create_endpoint(url, events, tag(url))
        try:
            await self._keep(new, url, events)
        except BaseException as error:
            # Without its secret it would only bring deliveries that must be refused.
            outcome = await self._undo(new.id)
            if isinstance(error, Exception):
                raise _not_kept(error, new.id, outcome) from None
            raise
        return new

    async def _keep(self, new: Registered, url: str, events: Sequence[str]) -> None:
        if new.secret is None:
            raise ProviderError("the provider did not tell it")
        self._source.decode_secret(new.secret)
        row = Endpoint(
            source=self._source.name,
            id=new.id,
            url=url,
            events=tuple(events),
            description=new.description,
            created_at=self._clock(),
        )
        await self._store.add(row, sealed=self._vault.seal(new.secret), last4=new.last4 or new.secret[-4:])

    async def _undo(self, id: str) -> str:
        with contextlib.suppress(ReceiverError):  # most likely the very store that could not keep it
            await self._retire(id, 0)
        try:
            await self._client.delete_endpoint(id)
        except ReceiverError as error:
            return f"delete it at the provider, which could not be done ({error})"
        return "it was deleted again"

    async def _remove(self, ids: Sequence[str], overlap: float = OVERLAP) -> list[str]:
        """Delete endpoints at the provider, then retire them here; return what did not work."""
        failed = []
        for old in ids:
            try:
                await self._client.delete_endpoint(old)
            except ProviderError as error:
                failed.append(f"{old} could not be deleted ({error}): its secret stays valid, try again")
            else:
                await self._retire(old, overlap)
        return failed

    async def _retire(self, id: str, overlap: float) -> None:
        mine = [one for one in await self._store.secrets(self._source.name) if one.endpoint_id == id]
        if not all(map(self._opens, mine)):
            overlap = 0  # nothing can be verified by it, and no receiver starts with it
        await self._store.retire(self._source.name, id, now=self._clock(), overlap=overlap)


def _compare(row: Endpoint, there: Sequence[Registered], ours: Ours) -> Finding:
    found = next((found for found in there if found.id == row.id), None)
    if found is None:
        return report.missing(row)
    if set(found.events) != set(row.events) or not same_url(found.url, row.url):
        return report.changed(row)
    return report.fine(row) if ours.knows(found) else report.unknown_secret(row)


def _not_kept(error: Exception, id: str, outcome: str) -> ReceiverError:
    # What other errors say may hold the values of a statement.
    reason = str(error) if isinstance(error, ReceiverError) else type(error).__name__
    kind = type(error) if isinstance(error, ConfigError | Unavailable) else ReceiverError
    return kind(f"the signing secret of the new endpoint {id} could not be stored ({reason}), so {outcome}")
