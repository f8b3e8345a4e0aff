"""Secrets at rest: the first key encrypts, all decrypt, nothing is shown."""

import pytest
from cryptography.fernet import Fernet

from vochi_integrations.cipher import Cipher
from vochi_integrations.errors import SettingsError, UndecryptableError
from vochi_integrations.integrations.retailcrm.config import read_config
from vochi_integrations.settings import Secret, Settings

OLD, NEW = (Secret(Fernet.generate_key().decode()) for _ in range(2))
KEY = "AbCdEf0123456789"


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before, both, after = Cipher([OLD]), Cipher([NEW, OLD]), Cipher([NEW])
    stored, renewed = before.encrypt(KEY), both.encrypt(KEY)
    assert stored.startswith("fernet:")
    assert KEY not in stored
    assert [cipher.decrypt(stored) for cipher in (before, both)] == [KEY, KEY]
    assert [cipher.decrypt(renewed) for cipher in (both, after)] == [KEY, KEY]
    assert (both.is_current(stored), both.is_current(renewed), both.is_current(KEY)) == (False, True, False)


def test_without_keys_secrets_stay_as_they_are() -> None:
    cipher = Cipher()
    assert (bool(cipher), cipher.encrypt(KEY), cipher.decrypt(KEY)) == (False, KEY, KEY)


def test_plain_values_are_read_also_with_keys() -> None:
    assert Cipher([NEW]).decrypt(KEY) == KEY


@pytest.mark.parametrize("keys", [[], [NEW]], ids=["no keys", "another key"])
@pytest.mark.parametrize("damage", ["", "x", "ы"])
def test_what_no_key_opens_is_said_without_showing_it(keys: list[Secret], damage: str) -> None:
    stored = Cipher([OLD]).encrypt(KEY) + damage
    with pytest.raises(UndecryptableError, match=r"secrets\.keys") as raised:
        Cipher(keys).decrypt(stored)
    assert stored not in str(raised.value)


@pytest.mark.parametrize("wrong", ["", "short", "ы" * 44, "A" * 43, "AAAA"])
def test_a_wrong_key_is_named_by_its_place_and_not_shown(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"secrets\.keys: key 2") as raised:
        Cipher([NEW, Secret(wrong)])
    assert not wrong or wrong not in str(raised.value)


def test_a_tenant_s_key_that_cannot_be_read_is_its_problem() -> None:
    stored = Cipher([OLD]).encrypt(KEY)
    raw = {"enabled": True, "domain": "demo.retailcrm.ru", "api_key": stored}
    good = read_config(raw, Settings(), Cipher([NEW, OLD]))
    assert (good.api_key.reveal(), good.problem) == (KEY, "")
    bad = read_config(raw, Settings(), Cipher([NEW]))
    assert (bool(bad.api_key), bad.problem) == (
        False,
        "api_key cannot be read: none of secrets.keys decrypts it; enter it again",
    )
    assert stored not in repr(bad)
