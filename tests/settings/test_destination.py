"""What can be dialled, and what is said about the rest."""

import pytest

from agent.settings.destination import EXPECTED, check_destination


@pytest.mark.parametrize(
    "text",
    [
        "+12345678900",
        "+491701234567",
        "12345678900",
        "112",
        "*98",
        "*21#",
        "1001",
        "reception",
        "gencred.user_1-2",
        "sip:user@domain",
        "sip:agent@customer.sip.telnyx.com",
        "sips:agent@pbx.example.com:5061",
        "sip:+12345678900@sip.example.com;transport=tcp",
        "sip:1001@192.0.2.7:5060",
        "sip:1001@[2001:db8::7]:5060",
        "SIP:user@DOMAIN",
    ],
)
def test_numbers_sip_uris_and_sip_users_are_dialled(text: str) -> None:
    check_destination(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "+0123456789",
        "+1234567890123456",
        "+1 234 567 8900",
        "+1-234-567-8900",
        "++1234",
        "(555) 1234",
        "user@domain",
        "sip:",
        "sip:domain",
        "sip:@domain",
        "sip:user@",
        "sip:user@-domain",
        "sip:a b@domain",
        "sip:user@domain\r\nVia: x",
        "tel:+12345678900",
        "https://example.com",
        "1001\n",
        "\u0661\u0662\u0663",
        "a" * 256,
        "sip:" + "a" * 300 + "@domain",
    ],
)
def test_anything_else_is_refused_and_told_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a destination, expected ") as raised:
        check_destination(text)
    assert str(raised.value) == f"not a destination, expected {EXPECTED}"
    assert EXPECTED == "a phone number such as +12345678900 (E.164), a SIP URI such as sip:user@domain, or a SIP user"
