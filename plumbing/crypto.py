"""Sealing: secrets at rest under a ring of keys."""

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_KEY_ID_CHARS_MAX: Final = 32


class CannotOpen(Exception):
    """Sealed by a key that is not on the ring, for something else, or damaged."""


class Keyring:
    """Seals with its first key, opens with any: AES-256-GCM, the key's id in front."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._first = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read "id:base64,id2:base64"; each key has 32 bytes. Raises ValueError, which never quotes a key."""
        keys: dict[str, bytes] = {}
        for number, part in enumerate(text.split(","), start=1):
            key_id, colon, encoded = part.strip().partition(":")
            if not (colon and key_id.isascii() and key_id.isalnum() and len(key_id) <= _KEY_ID_CHARS_MAX):
                raise ValueError(f"key {number} must be id:base64 with letters and digits in its id")
            if key_id in keys:
                raise ValueError(f"key {number} has the id of another")
            try:
                keys[key_id] = base64.b64decode(encoded, validate=True)
            except ValueError:
                raise ValueError(f"key {number} is not base64") from None
            if len(keys[key_id]) != _KEY_BYTES:
                raise ValueError(f"key {number} must have {_KEY_BYTES} bytes")
        return cls(keys)

    @property
    def sealing_key_id(self) -> str:
        return self._first

    def seal(self, plaintext: bytes, *, aad: bytes) -> bytes:
        """Seal for one purpose: `aad` names it and must be given again to open."""
        nonce = os.urandom(_NONCE_BYTES)
        key_id = self._first.encode()
        return key_id + b":" + nonce + self._keys[self._first].encrypt(nonce, plaintext, key_id + b":" + aad)

    def open(self, sealed: bytes, *, aad: bytes) -> bytes:
        """Give back what was sealed for the same purpose. Raises CannotOpen."""
        key_id, _, rest = sealed.partition(b":")
        key = self._keys.get(key_id.decode(errors="replace"))
        if key is None:
            raise CannotOpen("sealed by a key that is not on the ring")
        try:
            return key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], key_id + b":" + aad)
        except (InvalidTag, ValueError):
            raise CannotOpen("damaged, or sealed for something else") from None
