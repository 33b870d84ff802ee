"""Which names say that their value is a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.record.secret_names import sounds_secret

SECRET = """
password passwd pwd passphrase passcode secret token auth authorization cookie cookies jwt bearer pin otp cvv cvc cvv2 ssn iban pw
new_password old_password current_password password1 password2 passwords confirm_password user_password userPassword newPassword1
db_password DATABASE_PASSWORD PGPASSWORD MYSQL_ROOT_PASSWORD password_hash passwordHash password_digest encrypted_password db_pass
user[password] password[0] form.password account-password password_reset_token smtp_pass mypassword htpasswd pass_word passCode
client_secret secret_key SECRET_KEY_BASE webhook_secret consumer_secret aws_secret_access_key access_key AWS_SESSION_TOKEN secrets
access_token accessToken accesstoken refresh-token refreshtoken id_token token_id authtoken csrftoken csrfmiddlewaretoken access_tokens
X-CSRF-Token xsrf_token sessionid sessionKey JSESSIONID PHPSESSID connect.sid remember_token personal_access_token
X-API-Key HTTP_X_API_KEY apikey api_keys APIKey stripe_apikey private_key rsa_private_key signing_key encryptionKey master_key ssh_key
HTTP_AUTHORIZATION proxy_authorization basic_auth Set-Cookie HTTP_COOKIE credentials creds security_code mfa_code recovery_codes
dbpass rootpw pass_hash hashedpw motdepasse wachtwoord пароль 密码 psk preshared_key app_key openai_key license_key oauth_code
two_factor_code code_verifier SAMLResponse client_assertion shared_access_signature conn_str kubeconfig ASP.NET_SessionId pincode
cc_number account_no acct_number routing_number driver_license_number national_insurance_number passport_no tax_number cpf aadhaar
creditcard my_credit_card_no cardNumber gift_card_number account_number bank_account social_security_number passport_number
""".split()
INNOCENT = """
author authors authority authenticated auth_method monkey keyboard keyword hotkey primary_key foreign_key cache_key key keys
passenger passage compass bypass passed pass_count compassion crossword passwordless password_changed_at password_length
password_strength has_password is_password_set passwords_checked password_reset_count secretary secret_count session session_id session_count
session_duration tokens tokenizer tokenized token_count tokenCount max_tokens prompt_tokens completion_tokens tokens_used token_type
token_limit cookie_consent cookiecutter cookbook csrf_valid spinning shopping_cart opinion pinned pin_count card_type card_brand
credit_score cart_items user_id userId plan order_number phone_number address email name uuid api_version api_calls api_key_count
next_page_token continuation_token eos_token stop_token token_price token_ids token_balance tokens_per_second season_pass boarding_pass
secret_level secrets_found secret_garden cookies_baked cookie_recipe fortune_cookie map_pins pins_dropped pin_color credit_card_fee
otp_sent password_validators password_mismatch token_refreshed jwt_algorithm forward_pass overpass trespass act_number
signature_count assessment lesson permission bearing private encryption_type iban_country desktop
""".split()


@pytest.mark.parametrize("name", SECRET)
def test_a_name_of_a_secret_is_told(name: str) -> None:
    assert sounds_secret(name)


@pytest.mark.parametrize("name", INNOCENT)
def test_a_name_that_only_looks_like_one_is_not(name: str) -> None:
    assert not sounds_secret(name)


@pytest.mark.parametrize("name", SECRET)
def test_spelling_does_not_count(name: str) -> None:
    assert sounds_secret(name.upper().replace("_", "-"))
    assert sounds_secret(f"http_x_{name}")
    assert sounds_secret(f"{name}2")


@given(st.text(max_size=3000))
def test_any_text_may_be_a_name(name: str) -> None:
    assert sounds_secret(name) in (True, False)
    assert sounds_secret(f"password_of_{name}")  # and not `{name}_password`: `is_password` asks, and holds none
