"""What the fuzzer found in targets that read their bytes as they are: each was a defect, mended since."""

from __future__ import annotations

FOUND: tuple[tuple[str, bytes], ...] = (
    ("selector", b"!(!b == '')"),
    ("files", b"apiVersion: projectcalico.org/v3\nkind: {name: a}\nmetadata: {name: a}\n"),
    ("files", b'{"apiVersion":"projectcalico.org/v3","kind":"Profile","metadata":{"name":"\\ud800"}}'),
    ("template", b"{{join ..s1 2}}"),
    ("template", b'{{printf "%99999999999999999999s" 1}}'),
    ("places", b"[:Z:iConfig"),
)
