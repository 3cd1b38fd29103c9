from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from specstyle.features import products
from specstyle.features.products import filtered, products_in


class Products(TorchDispatchMode):
    """Notes in which precision each product is made."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("mm", "bmm"):
            self.found.append(
                (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.fp32_precision)
            )
        return func(*args, **(kwargs or {}))


def test_only_the_product_and_its_gradient_are_in_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    filters, columns = (torch.rand(shape, generator=generator) for shape in ((4, 6), (2, 6, 5)))
    columns.requires_grad_(True)
    found = []
    for tf32 in (False, True):
        monkeypatch.setattr(products, "_in_tf32", lambda _, tf32=tf32: tf32)
        with products_in("highest"), Products() as seen:
            maps = filtered(filters, columns)
            gram = maps @ maps.transpose(1, 2)
            (gradient,) = torch.autograd.grad(gram.square().sum(), columns)
        found.append((maps, gradient))
        high = [kind for kind in seen.found if kind == ("high", "tf32")]
        assert len(high) == (2 if tf32 else 0)
        assert len(seen.found) > 3
        assert set(seen.found) - {("high", "tf32")} == {("highest", "ieee")}
    for plain, other in zip(*found, strict=True):  # CPUs with TF32 or bf16 may take part in it
        torch.testing.assert_close(other, plain, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("older", ["highest", "high", "medium"])
@pytest.mark.parametrize("newer", [None, "tf32", "ieee"])
def test_what_was_set_before_is_set_again(older: str, newer: str | None) -> None:
    matmul = torch.backends.cuda.matmul
    before, both = torch.get_float32_matmul_precision(), [matmul, torch.backends.mkldnn.matmul]
    kept = [part.fp32_precision for part in both]
    try:
        torch.set_float32_matmul_precision(older)
        if newer is not None:
            matmul.fp32_precision = newer
        wanted = [part.fp32_precision for part in both]
        with products_in("highest"):
            assert torch.get_float32_matmul_precision() == "highest"
            assert {part.fp32_precision for part in both} == {"ieee"}
            assert matmul.allow_tf32 is False
        assert [part.fp32_precision for part in both] == wanted
        if newer is None:
            assert torch.get_float32_matmul_precision() == older
    finally:
        torch.set_float32_matmul_precision(before)
        for part, value in zip(both, kept, strict=True):
            part.fp32_precision = value
