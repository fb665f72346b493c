import pytest
from hypothesis import given, strategies as st

from capture_service import identity
from tests import wire


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("551188887777", "5511988887777"),
        ("555199998888", "5551999998888"),
        ("525512345678", "5215512345678"),
    ],
)
def test_both_forms_of_a_mobile_number_have_one_alias(short: str, long: str) -> None:
    assert identity.phone_alias(short) == identity.phone_alias(long) == long
    assert set(identity.written_forms(long)) == {short, long}


@pytest.mark.parametrize("number", ["551133334444", "16505551234", "4915112345678", "5511", ""])
def test_a_number_with_one_form_has_no_alias(number: str) -> None:
    assert identity.phone_alias(number) is None


@given(st.text(alphabet="0123456789", min_size=8, max_size=15))
def test_an_alias_is_its_own_alias(number: str) -> None:
    alias = identity.phone_alias(number)

    assert alias is None or identity.phone_alias(alias) == alias


def test_identifiers_come_in_the_order_of_trust() -> None:
    person = identity.Person(
        said_at=wire.RECEIVED_AT, bsuid="BR.1", wa_id="551188887777", parent_bsuid="BR.ENT.1"
    )

    assert person.identifiers() == [
        ("bsuid", "BR.1"),
        ("wa_id", "551188887777"),
        ("phone_alias", "5511988887777"),
        ("parent_bsuid", "BR.ENT.1"),
    ]
