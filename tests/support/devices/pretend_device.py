"""Two devices that are not there: `pretend:0` and `pretend:1` compute on the CPU and refuse what two GPUs would.

A tensor that says it lives there wraps one of the CPU, and every operation is the CPU's own, so numbers are equal bit
for bit. Operations on tensors of two devices are refused as CUDA refuses them: only copies cross, a number (a tensor
without dimensions) of the CPU may take part in what goes element by element, and indices may come from the CPU.
Autocast casts what it casts on the CPU. Worker processes register the devices when they import a table of runners from
`support`. It needs torch's Python backends for PrivateUse1, which torch calls experimental.
"""

from __future__ import annotations

import functools
import types
from contextlib import contextmanager

import torch
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
COUNT = 2
aten = torch.ops.aten
CPU = torch.device("cpu")

COPIES = {"aten::copy_", "aten::_copy_from", "aten::_to_copy"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
INDEXED |= {"aten::_unsafe_index_put"}
WITH_NUMBERS = {"aten::where", "aten::masked_fill", "aten::masked_fill_", "aten::fill", "aten::fill_", "aten::lerp_"}
"""Besides those that torch itself tags as element by element."""

LOWER = {f"conv{n}d" for n in (1, 2, 3)} | {f"conv_transpose{n}d" for n in (1, 2, 3)}
LOWER |= {
    "_convolution",
    "conv_tbc",
    "mm",
    "bmm",
    "addmm",
    "addbmm",
    "baddbmm",
    "_addmm_activation",
    "linear",
    "matmul",
}
LOWER |= {"linalg_vecdot", "scaled_dot_product_attention", "_native_multi_head_attention", "mkldnn_rnn_layer"}
"""Operations that autocast computes in half precision on the CPU."""
WIDEST = {"stack", "cat", "index_copy"}
"""Those that it computes in the widest type of their inputs; all others that it knows in single precision."""


class PretendTensor(torch.Tensor):
    """A tensor on a pretended device; `inner` is where its numbers are."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, index: int, requires_grad: bool = False):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(NAME, index),
            requires_grad=requires_grad,
        )
        tensor.inner = inner
        return tensor

    def __repr__(self, *, tensor_contents=None):
        return f"PretendTensor({self.inner}, device={self.device})"

    def tolist(self):
        return self.inner.tolist()

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        """On this tensor's device, which torch forgets the index of without a device guard of C++."""
        tensor = torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)
        return tensor.requires_grad_(requires_grad)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, kinds, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs):
    """Run an operation on the CPU; its results live where its inputs do, or where `device` says."""
    tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    name = func._schema.name
    if name not in COPIES:
        refuse_company(func, name, args, tensors)
    if name == "aten::copy_":
        (target, source), rest = args[:2], args[2:]
        func(bare(target), bare(source), *rest)
        return target
    there = next((t.device for t in tensors if isinstance(t, PretendTensor)), None)
    wanted = kwargs.get("device")
    home = there if wanted is None else placed(wanted)
    inner_args, inner_kwargs = pytree.tree_map(bare, (args, dict(kwargs)))
    if "device" in kwargs:
        inner_kwargs |= {"device": CPU, "pin_memory": False} if "pin_memory" in kwargs else {"device": CPU}
    out = func(*inner_args, **inner_kwargs)
    if home is None or home.type != NAME:
        return out
    by_inner = {id(t.inner): t for t in tensors if isinstance(t, PretendTensor)}

    def wrapped(value):
        if not isinstance(value, torch.Tensor):
            return value
        before = by_inner.get(id(value))
        if before is None:
            return PretendTensor(value, home.index)
        assert before.shape == value.shape and before.stride() == value.stride(), f"{func} changes a tensor's shape"
        return before

    return pytree.tree_map(wrapped, out)


def refuse_company(func, name, args, tensors):
    """Raise as CUDA does for tensors of two devices."""
    at = {t.device for t in tensors}
    if len(at) < 2:
        return
    if name in INDEXED:  # self, indices, values: indices may be the CPU's if what is indexed is not
        values = [t for t in args[2:] if isinstance(t, torch.Tensor) and not (t.device == CPU and not t.dim())]
        of_indices = {t.device for t in pytree.tree_leaves(args[1]) if isinstance(t, torch.Tensor)}
        if of_indices <= {CPU, args[0].device} and all(t.device == args[0].device for t in values):
            return
    if torch.Tag.pointwise in func.tags or name in WITH_NUMBERS:
        at = {t.device for t in tensors if t.device != CPU or t.dim()}
        if len(at) < 2:
            return
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, "
        f"{' and '.join(sorted(map(str, at)))}! (when checking arguments of {func})"
    )


def bare(value):
    """The CPU's tensor of a pretended one; anything else as it is."""
    return value.inner if isinstance(value, PretendTensor) else value


def placed(device):
    """A device with its index: the present one where none is named."""
    device = torch.device(device)
    return torch.device(NAME, module.current_device()) if device.type == NAME and device.index is None else device


class Module(types.ModuleType):
    """What torch asks of a backend: `torch.pretend`."""

    index = 0

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def device_count(self):
        return COUNT

    def current_device(self):
        return self.index

    def set_device(self, device):
        self.index = device if isinstance(device, int) else (torch.device(device).index or 0)

    def get_device_name(self, device=None):
        return "a pretended device"

    def synchronize(self, device=None):
        pass

    def manual_seed(self, seed):
        pass

    def manual_seed_all(self, seed):
        pass

    def _is_in_bad_fork(self):
        return False

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


module = Module(NAME)
libraries: list[torch.library.Library] = []


def settle(index: int = 0) -> None:
    """Make this process one that works on pretended devices, for good: what a worker process does as it starts."""
    register()
    module.set_device(index)
    # Tensors of two kinds cannot exchange their numbers in place, as `module.to` would have it.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # torch would start a thread for the first device only, whatever their number.
    torch.autograd.set_multithreading_enabled(False)


@contextmanager
def pretended(index: int = 1):
    """The device of this index, for as long as the block lasts; then this process is as it was."""
    settle(index)
    try:
        yield torch.device(NAME, index)
    finally:
        module.set_device(0)
        torch.__future__.set_overwrite_module_params_on_conversion(False)
        torch.autograd.set_multithreading_enabled(True)


def register() -> None:
    """Make the devices known to torch, in this process. Does nothing the second time."""
    if libraries:
        return
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)
    library = torch.library.Library("aten", "IMPL")
    libraries.append(library)
    for full in torch._C._dispatch_get_all_op_names():
        if (op := maker(full)) is not None:
            library.impl(full.removeprefix("aten::"), functools.partial(made, op), "PrivateUse1")
    library.impl("_copy_from", copied_from, "PrivateUse1")
    through = torch.library.Library("_", "IMPL")
    through.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    libraries.append(through)
    torch.clear_autocast_cache = forget_casts
    for full in torch._C._dispatch_get_all_op_names():
        if torch._C._dispatch_has_kernel_for_dispatch_key(full, "AutocastCPU"):
            register_autocast(full)


def operation(full):
    """The callable of an operator's full name, None where Python has none."""
    space, _, rest = full.partition("::")
    name, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, space), name), overload or "default")
    except (AttributeError, RuntimeError):
        return None


def maker(full):
    """The operation, if it makes a tensor of no other and can be computed: `empty`, `arange`, `full`, ..."""
    if not full.startswith("aten::") or full.endswith("out") or "names" in full or (op := operation(full)) is None:
        return None
    arguments, returns = op._schema.arguments, op._schema.returns
    makes = any(a.name == "device" for a in arguments) and not any("Tensor" in str(a.type) for a in arguments)
    if not makes or len(returns) != 1 or str(returns[0].type) != "Tensor":
        return None
    computes = torch._C._dispatch_has_kernel_for_dispatch_key(full, "CPU")
    return op if computes or "CompositeExplicitAutograd" in torch._C._dispatch_dump(full) else None


def made(op, *args, **kwargs):
    device = placed(kwargs.pop("device", None) or torch.device(NAME))
    kwargs.pop("pin_memory", None)
    return PretendTensor(op(*args, device=CPU, **kwargs), device.index)


def copied_from(source, target, non_blocking=False):
    return computed(aten.copy_.default, (target, source), {})


def register_autocast(full):
    """Cast on the pretended devices what the CPU's autocast casts, to the same types."""
    if (op := operation(full)) is None:
        return
    space, _, rest = full.partition("::")
    base = rest.partition(".")[0]
    library = torch.library.Library(space, "IMPL")
    libraries.append(library)

    def kernel(*args, **kwargs):
        floats = [t for t in pytree.tree_leaves((args, kwargs)) if is_float(t)]
        lower = torch.get_autocast_dtype(NAME)
        dtype = torch.float32
        if base in LOWER:
            dtype = lower
        elif base in WIDEST:
            dtype = torch.float32 if any(t.dtype == torch.float32 for t in floats) else lower
        cast = lambda t: cast_once(t, dtype) if is_float(t) and t.device.type == NAME else t  # noqa: E731
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            args, kwargs = pytree.tree_map(cast, (args, kwargs))
            return op(*args, **kwargs)

    library.impl(rest, kernel, "AutocastPrivateUse1")


casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
"""Parameters and what they were cast to. As torch has it: a parameter that is used twice is cast once, and the
gradients of its uses are added in half precision."""


def cast_once(value, dtype):
    """A tensor in a type, kept for the next use within this `autocast` where it is a parameter to be made smaller."""
    if value.dtype == dtype:
        return value
    lasting = value.is_leaf and value.requires_grad and dtype == torch.get_autocast_dtype(NAME)
    if not (lasting and value.dtype == torch.float32 and torch.is_autocast_cache_enabled()):
        return value.to(dtype)
    if id(value) not in casts:
        casts[id(value)] = (value, value.to(dtype))
    return casts[id(value)][1]


def forget_casts(clear=torch.clear_autocast_cache):
    """What the end of `autocast` calls in place of torch's own."""
    casts.clear()
    clear()


def is_float(value) -> bool:
    """Whether autocast would cast it: a floating tensor that is not double."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != torch.float64
