"""Whether a Ray cluster answers at an address: Ray itself tries for more than a minute, with warnings."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from specstyle.errors import SpecstyleError

PATIENCE_S = 3.0
"""How long each try to reach a host takes at most."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What opens a connection in HTTP/2, which Ray speaks: its name, and an empty frame of settings."""


def check_reachable(address: str, ray: Any) -> None:
    """Refuse the address of a cluster that does not answer.

    Args:
        address: ``auto``, ``local``, ``host:port`` or ``ray://host:port``.
        ray: The module.

    Raises:
        ValueError: If it is none of these.
        SpecstyleError: If nobody answers there, or something else than Ray.
    """
    if address == "local":
        return
    found = _found(ray) if address == "auto" else address
    if found is None:  # Ray says so itself, at once
        return
    host, port = _parsed(address, found)
    hosts = [host]
    if host in ("localhost", "127.0.0.1", "::1"):  # which Ray takes for this machine's address elsewhere
        hosts.append(ray.util.get_node_ip_address())
    reasons = [_refusal(host, port) for host in hosts]
    if None not in reasons:
        raise SpecstyleError(
            f"--ray {address}: no connection to a cluster ({found}: {reasons[0]}); start one by "
            "`ray start --head`, or give --ray local"
        )


def _found(ray: Any) -> str | None:
    """Return the address that Ray finds for ``auto``, if it does."""
    if os.environ.get("RAY_ADDRESS"):
        return os.environ["RAY_ADDRESS"]
    # Left behind by a cluster that was killed; where Ray keeps it is Ray's own affair.
    with contextlib.suppress(Exception):
        left: str | None = ray._private.services.find_bootstrap_address(None)
        return left
    return None


def _parsed(address: str, found: str) -> tuple[str, int]:
    """Return host and port.

    Raises:
        ValueError: If there is not both.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit("//" + found.removeprefix("ray://"))
        if parts.hostname and parts.port and parts.netloc == found.removeprefix("ray://"):
            return parts.hostname, parts.port
    whence = "" if found == address else f", which RAY_ADDRESS or a cluster says is {found!r}"
    raise ValueError(f"--ray must be auto, local, HOST:PORT or ray://HOST:PORT, got {address!r}{whence}")


def _refusal(host: str, port: int) -> str | None:
    """Return why there is no Ray, or ``None`` if there may be one."""
    try:
        with socket.create_connection((host, port), PATIENCE_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() not in ("", "0", "false"):
                return None
            connection.sendall(_PREFACE)
            answer = connection.recv(4)
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} s"
    except (OSError, UnicodeError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()
    # The length of a frame, and that it holds settings: what any server of HTTP/2 says first.
    return None if answer[3:] == b"\4" else "something else than Ray answers"
