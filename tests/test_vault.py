"""Secrets at rest: only a right key opens them, and nothing shows them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.errors import ConfigError
from receiver.vault import Vault, new_key

SECRET = "whsec_dmlkZW9nZW4tc2FtcGxlLXNlY3JldC0wMQ=="
OLD = "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCE="
NEW = "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyE="


def test_what_is_sealed_opens_with_the_same_key_and_shows_nothing_meanwhile():
    sealed = Vault([OLD]).seal(SECRET)
    assert SECRET not in sealed
    assert sealed.isascii()
    assert Vault([OLD]).open(sealed) == SECRET


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(st.characters()))
def test_any_text_can_be_sealed(text):
    vault = Vault([OLD])
    assert vault.open(vault.seal(text)) == text


def test_the_same_secret_never_looks_the_same():
    vault = Vault([OLD])
    assert vault.seal(SECRET) != vault.seal(SECRET)


def test_a_new_key_is_a_key_and_no_two_are_the_same():
    first, second = new_key(), new_key()
    assert first != second
    assert Vault([first]).open(Vault([first]).seal(SECRET)) == SECRET


def test_while_a_key_is_replaced_the_newest_seals_and_all_open():
    by_old = Vault([OLD]).seal(SECRET)
    both = Vault([NEW, OLD])
    assert both.open(by_old) == SECRET
    assert Vault([NEW]).open(both.seal(SECRET)) == SECRET


def test_renewing_seals_with_the_newest_key_so_that_the_old_one_can_go():
    renewed = Vault([NEW, OLD]).renew(Vault([OLD]).seal(SECRET))
    assert Vault([NEW]).open(renewed) == SECRET
    with pytest.raises(ConfigError):
        Vault([OLD]).open(renewed)


@pytest.mark.parametrize(
    "change", [lambda sealed: sealed[:-5] + "AAAA=", lambda sealed: sealed[:40], lambda _: "", lambda _: "é"]
)
def test_what_was_changed_or_is_no_seal_does_not_open(change):
    vault = Vault([OLD])
    with pytest.raises(ConfigError, match="does not open"):
        vault.open(change(vault.seal(SECRET)))


def test_a_wrong_key_is_told_with_what_to_do():
    with pytest.raises(ConfigError, match="append the key it was sealed with"):
        Vault([NEW]).open(Vault([OLD]).seal(SECRET))


def test_without_a_key_nothing_is_kept_and_the_error_says_how_to_make_one():
    vault = Vault([])
    assert not vault
    for use in (vault.seal, vault.open, vault.renew):
        with pytest.raises(ConfigError, match="receiver secrets key"):
            use(SECRET)


def test_with_a_key_a_vault_is_true():
    assert Vault([OLD])


@pytest.mark.parametrize("key", ["", "short", "no base64 at all!", "schlüssel", SECRET, OLD[:-4], "A" * 43])
def test_what_is_no_key_is_refused_without_showing_it(key):
    with pytest.raises(ConfigError) as caught:
        Vault([OLD, key])
    assert not key or key not in str(caught.value)
    assert OLD not in str(caught.value)
    assert caught.value.__suppress_context__


def test_neither_messages_nor_reprs_show_a_secret_or_a_key():
    vault = Vault([NEW])
    sealed = Vault([OLD]).seal(SECRET)
    with pytest.raises(ConfigError) as caught:
        vault.open(sealed)
    shown = f"{vault!r} {vault} {caught.value!r}"
    for hidden in (NEW, OLD, SECRET, sealed):
        assert hidden not in shown
