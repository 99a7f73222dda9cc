"""What the environment says of trusted certificates; of proxies: see test_proxies."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.net import route
from ih_mcp.net.route import _trusted

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@pytest.mark.parametrize(
    ("folders", "is_usable"),
    [
        ("{there}", True),
        ("/gone{sep}{there}", True),
        ("{there}{sep}/gone", True),
        ("/gone", False),
        ("/gone{sep}/gone2", False),
        (__file__, False),
    ],
)
def test_one_folder_of_certificates_that_is_there_is_enough(
    folders: str, is_usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(route.httpx2, "create_ssl_context", lambda: made)
    value = folders.format(there=tmp_path, sep=os.pathsep)
    monkeypatch.setenv("SSL_CERT_DIR", value)
    if is_usable:
        assert _trusted() is made
    else:
        with pytest.raises(ConfigurationError) as refused:
            _trusted()
        assert refused.value.what == (
            f"SSL_CERT_DIR is {value!r}, which cannot be used: there is no such folder"
        )
        assert refused.value.help == "Correct SSL_CERT_DIR, or unset it."
        monkeypatch.setenv("SSL_CERT_FILE", "certificates.pem")  # then no folder is looked at
        assert _trusted() is made


def test_the_keys_of_connections_are_kept_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(route.httpx2, "create_ssl_context", lambda: made)
    for name in _CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    assert _trusted().keylog_filename is None
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert _trusted().keylog_filename == str(tmp_path / "keys")
