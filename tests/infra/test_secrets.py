from __future__ import annotations

import base64
import datetime as dt
import importlib
import ssl

import pytest
from cryptography import x509 as certificates
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from pulumi.dynamic.dynamic import serialize_provider

from infra.secrets import validity, x509
from infra.secrets.authority import AuthorityProvider, CertificateProvider
from infra.secrets.password import KEY_LETTERS, LETTERS, PasswordProvider

PROVIDERS = {
    "infra.secrets.password": "PasswordProvider",
    "infra.secrets.authority": "AuthorityProvider CertificateProvider",
    "infra.storage.minio.resources": "BucketProvider UserProvider",
    "infra.storage.greenlake.resources": (
        "GreenLakeBucketProvider GreenLakePolicyProvider GreenLakeUserProvider"
    ),
    "infra.day_zero": "DayZeroProvider",
}


def leaf_props(**changes):
    ca = x509.authority("test")
    props = {
        "common_name": "milvus",
        "hosts": ["milvus.ns.svc", "127.0.0.1"],
        "client": False,
        "ca_certificate": ca.certificate,
        "ca_key": ca.key,
    }
    return props | changes


def made(provider, props):
    return provider.create(props).outs or {}


def test_passwords_are_long_random_and_need_no_quoting():
    props = {"length": 32, "letters": LETTERS, "generation": 1}
    values = {made(PasswordProvider(), props)["value"] for _ in range(50)}
    assert len(values) == 50
    assert all(len(value) == 32 and value.isalnum() for value in values)


def test_access_keys_are_capitals_and_digits():
    props = {"length": 20, "letters": KEY_LETTERS, "generation": 1}
    value = made(PasswordProvider(), props)["value"]
    assert set(value) <= set(KEY_LETTERS)


def test_password_stays_until_what_it_is_made_from_changes():
    provider = PasswordProvider()
    olds = made(provider, {"length": 20, "letters": LETTERS, "generation": 1})
    news = {"length": 20, "letters": LETTERS, "generation": 1, "value": None}
    assert not provider.diff("id", olds, news).changes
    assert provider.diff("id", olds, news | {"generation": 2}).replaces == ["generation"]


def test_certificate_is_accepted_for_its_hosts_under_its_authority():
    props = leaf_props()
    outs = made(CertificateProvider(), props)
    leaf = certificates.load_pem_x509_certificate(outs["certificate"].encode())
    authority = certificates.load_pem_x509_certificate(props["ca_certificate"].encode())
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(certificates.SubjectAlternativeName).value
    assert names.get_values_for_type(certificates.DNSName) == ["milvus.ns.svc"]
    assert [str(ip) for ip in names.get_values_for_type(certificates.IPAddress)] == ["127.0.0.1"]
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert "PRIVATE KEY" in outs["key"]


def test_authority_signs_end_certificates_and_no_authority():
    authority = certificates.load_pem_x509_certificate(x509.authority("test").certificate.encode())
    limits = authority.extensions.get_extension_for_class(certificates.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)


@pytest.mark.parametrize("client", [True, False])
def test_certificate_identifies_a_client_only_where_it_says_so(client):
    outs = made(CertificateProvider(), leaf_props(client=client))
    leaf = certificates.load_pem_x509_certificate(outs["certificate"].encode())
    uses = leaf.extensions.get_extension_for_class(certificates.ExtendedKeyUsage).value
    assert (ExtendedKeyUsageOID.CLIENT_AUTH in uses) == client
    assert ExtendedKeyUsageOID.SERVER_AUTH in uses


def test_openssl_reads_certificate_and_key_together(tmp_path):
    outs = made(CertificateProvider(), leaf_props())
    (tmp_path / "crt").write_text(outs["certificate"])
    (tmp_path / "key").write_text(outs["key"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "crt", tmp_path / "key")


def test_certificate_is_signed_again_for_other_hosts_and_not_otherwise():
    provider, props = CertificateProvider(), leaf_props()
    olds = made(provider, props)
    assert not provider.diff("id", olds, props).changes
    assert provider.diff("id", olds, props | {"hosts": ["other"]}).changes
    assert provider.diff("id", olds, props | {"ca_certificate": "another"}).changes
    assert not provider.diff("id", olds, props | {"hosts": ["other"]}).replaces


def test_certificate_near_its_end_is_signed_again():
    provider, props = CertificateProvider(), leaf_props()
    near = dt.datetime.now(dt.UTC) + dt.timedelta(days=29)
    olds = made(provider, props) | {"not_after": near.isoformat()}
    assert provider.diff("id", olds, props).changes
    again = provider.update("id", olds, props).outs or {}
    assert again["certificate"] != olds["certificate"]
    assert validity.days_left(again["not_after"]) > 390


def test_authority_is_replaced_before_a_certificate_could_outlive_it():
    provider = AuthorityProvider()
    olds = made(provider, {"common_name": "test"})
    assert not provider.diff("id", olds, {"common_name": "test"}).changes
    near = dt.datetime.now(dt.UTC) + dt.timedelta(days=validity.LEAF_DAYS)
    olds |= {"not_after": near.isoformat()}
    assert provider.diff("id", olds, {"common_name": "test"}).replaces == ["not_after"]


@pytest.mark.parametrize("module", PROVIDERS)
def test_providers_keep_their_names_or_old_state_cannot_be_destroyed(module):
    # Pulumi keeps module and class of a dynamic provider in its state, by reference.
    found = importlib.import_module(module)
    for name in PROVIDERS[module].split():
        text = serialize_provider(getattr(found, name)())
        assert text == serialize_provider(getattr(found, name)())
        assert module.encode() in base64.b64decode(text)
        assert len(text) < 200, "pickled by value: it is not importable by name"
