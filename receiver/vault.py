"""Signing secrets at rest: sealed with Fernet under `RECEIVER_SECRET_KEY`, several keys while one is replaced."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from .errors import ConfigError


def new_key() -> str:
    """Return a fresh value for `RECEIVER_SECRET_KEY`."""
    return Fernet.generate_key().decode()


class Vault:
    """Seals and opens secrets with a list of keys, newest first: the first seals, all open."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError:
            raise ConfigError(
                "RECEIVER_SECRET_KEY is not a key: make one with `receiver secrets key`; commas separate several"
            ) from None

    def __bool__(self) -> bool:
        return self._fernet is not None

    def seal(self, secret: str) -> str:
        """Return `secret` encrypted, as text for a database. Raises ConfigError without a key."""
        return self._keys().encrypt(secret.encode(errors="surrogatepass")).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed. Raises ConfigError if none of the keys fits."""
        try:
            return self._keys().decrypt(sealed).decode(errors="surrogatepass")
        except (InvalidToken, ValueError):  # the latter for text that is no token at all
            raise ConfigError(
                "RECEIVER_SECRET_KEY does not open a stored secret: append the key it was sealed with, after a comma"
            ) from None

    def fits(self, sealed: str) -> bool:
        """Whether one of the keys opens it."""
        try:
            self.open(sealed)
        except ConfigError:
            return False
        return True

    def renew(self, sealed: str) -> str:
        """Return the same secret sealed with the newest key."""
        return self.seal(self.open(sealed))

    def _keys(self) -> MultiFernet:
        if self._fernet is None:
            raise ConfigError(
                "RECEIVER_SECRET_KEY is not set, so secrets cannot be kept: make one with `receiver secrets key`"
            )
        return self._fernet
